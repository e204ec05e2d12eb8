"""The whole library in 25 lines: train a flow model on handwritten digits, then sample ten of them."""

import torch

import fromnoise as fn

data = fn.load("digits")  # uint8 images, labels, and an ImageSpec that knows shape, classes and range
denoiser = fn.Denoiser(fn.UNet(data.spec, width=16), fn.Linear(), fn.EDM(), data.spec)
objective = fn.Objective(fn.Unit(), fn.LogitNormal(), label_dropout=0.1)
batches = fn.Batches(data, batch_size=64, seed=0)
optimizer = torch.optim.AdamW(denoiser.parameters(), lr=4e-3)
decay = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=1.0, end_factor=0.0, total_iters=1000)

for step in range(1000):  # train
    images, labels = batches.batch(step)
    x0 = data.spec.encode(images)
    noise = objective.draw(denoiser.process, x0.shape, seed=0, step=step)
    loss = fn.training_loss(denoiser, objective, x0, labels, noise).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    decay.step()
    if step % 100 == 99:
        print(f"step {step + 1}: loss {loss.item():.3f}")

guided = fn.ClassifierFreeGuidance(denoiser.eval(), scale=2.0)  # sample
times = fn.UniformGrid()(denoiser.process, steps=20)
*_, last = fn.sample(guided, seeds=range(10), sampler=fn.Heun(), grid=times, label=torch.arange(10))
fn.grid(data.spec.decode(last.x).permute(0, 2, 3, 1).numpy()).save("digits.png")

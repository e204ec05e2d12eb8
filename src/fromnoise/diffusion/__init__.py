"""The mathematics: one equation, x_t = alpha(t) x0 + sigma(t) eps, and everything composed from it. Start reading here.

`process` is the equation, `prediction` what a network predicts, `denoiser` the network made into an estimate of x0,
`objective` its training loss and `samplers/` the way back from noise.
"""

// Every view: one line each. The bar at the top shows VIEWS, a run's page shows RUN_VIEWS as tabs.
import { compare } from "./compare.js";
import { data } from "./data.js";
import { live } from "./live.js";
import { microscope } from "./microscope.js";
import { fresh } from "./new.js";
import { playground } from "./playground.js";
import { report } from "./report.js";
import { runs } from "./runs.js";
import { tools } from "./tools.js";

export const VIEWS = { runs, compare, new: fresh };
export const RUN_VIEWS = { live, playground, microscope, data, tools, report };

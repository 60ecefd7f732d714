/**
 * What the server answers (docs/page.md), and what the scripts hand each other. For type checkers alone:
 * ComfyUI loads *.js.
 */

import type { TEXTS } from "./texts.js";

export type Language = keyof typeof TEXTS;
export type LocalizedText = Partial<Record<Language, string>>;
/** A sentence, or one for a single thing and one for any other number of them. */
export type Template = string | { one: string; other: string };
export type TextValues = Record<string, string | number | null | undefined>;
export type TextKey = keyof (typeof TEXTS)["en"];

/** The body of a 4xx or 5xx response. */
export interface ErrorBody {
  error?: LocalizedText & { kind: string; message: string; trace_id: string };
}

// Settings

export type Site = "cn" | "com";
export type SettingValue = string | number | boolean;

export interface Settings {
  /** `prices` is an object, which only `OwnPrices` reads. */
  values: { site: Site; show_balance: boolean; show_price: boolean; [name: string]: SettingValue };
  choices: { site: Site[]; [name: string]: string[] };
  bounds: Record<string, Bounds>;
  key: { is_set: boolean; last4: string; source: "environment" | "file" | ""; variable: string };
  balance: Balance | null;
  base_url: string;
  /** By setting: the variable that decides it. */
  fixed: Record<string, string>;
  read_only: boolean;
  data_directory: string;
}

export type Bounds = [least: number, most: number];

/** What was spent in a time, as exact text; `unknown` counts paid results whose price is not known. */
export interface SpendPeriod {
  spent: string;
  saved: string;
  unknown: number;
  models: { model: string; spent: string; saved: string; unknown: number }[];
}

export interface Spend {
  currency: string;
  today: SpendPeriod;
  month: SpendPeriod;
}

export interface Balance {
  /** Null where the service no longer tells it. */
  balance: string | null;
  /** Why it is null, as the name of an error. */
  reason?: string;
  currency: string;
  /** Unix seconds, like every time here. */
  at: number;
}

export interface Account {
  name: string;
  status: string;
  /** Nothing where the service does not tell it. */
  balance: string | null;
  currency: string;
  site: Site;
  /** How many models the key opens. */
  models: number;
}

/** One hop on the way to the service; `good` is null where it was not tested. */
export interface Hop {
  name: string;
  good: boolean | null;
  label: LocalizedText;
  text: LocalizedText;
}

export interface Stored {
  requests: number;
  pictures: number;
  bytes: number;
  directory: string;
}

// Catalogue

export type InputValue = string | number | boolean;
export type Mark = "new" | "guessed" | "missing" | "retired";

export interface Catalogue {
  site: Site;
  inputs: Record<string, InputDeclaration>;
  nodes: Record<string, NodeEntry>;
  /** The account's own. */
  voices: { uri: string; name: string; model: string }[];
  batches: Batches;
  refreshed_at: number | null;
}

/** How many images ComfyUI's nodes bring, by type: a number, or the name of the input that says it. */
export interface Batches {
  fixed: Record<string, number>;
  counted: Record<string, string>;
  repeated: Record<string, string>;
  cut: Record<string, string>;
  /** How the names of the inputs begin whose images it brings. */
  sum: Record<string, string>;
  same: Record<string, string>;
}

/** A node that images come from, as far as it matters how many. */
export interface Source {
  id: string | number;
  type: string;
  /** The names of its inputs that are linked. */
  links: string[];
  /** What is linked to an input; null if nobody knows. */
  from: (name: string) => Source | null;
  /** The value of an input; undefined if another node decides it. */
  value: (name: string) => unknown;
}

export interface InputDeclaration {
  type: string;
  minimum: number | null;
  maximum: number | null;
  default: InputValue;
  /** The value that means "not set". */
  unset: InputValue | null;
}

/** A node in the catalogue. */
export interface NodeEntry {
  task: string;
  pictures: string[];
  inputs: string[];
  models: Model[];
}

export interface Model {
  id: string;
  name: string;
  site: Site;
  listed: boolean;
  mark: Mark | null;
  guessed_from: string;
  images: string[];
  fields: Record<string, Field>;
  /** What the widgets show where the user set nothing, where it is known. */
  defaults: Record<string, InputValue>;
  /** ISO dates, where known. */
  published: string | null;
  retired: string | null;
  price: Price | null;
}

/** The user's own prices by model: of one result, or of the rates of a price. */
export type OwnPrices = Record<string, number | Partial<Price>>;

/** What the badge of a node says of the price: a key of the texts, and its values. */
export interface PriceLabel {
  key: "price.unknown" | "price.free" | "price.each" | "price.total" | "price.bytes" | "price.input" | "price.tokens";
  values: Record<string, string | number>;
}

/** As the price list said on the day `as_of`: for one image or video, a thousand bytes, or a million tokens. */
export interface Price {
  currency: string;
  as_of: string;
  image?: number;
  video?: number;
  kilobyte?: number;
  input?: number;
  output?: number;
  input_images?: number;
  /** Other prices for requests of more than so many input tokens, or at some hours. */
  tiers?: { above?: number; hours?: string; input: number; output: number }[];
}

export interface Field {
  type: string;
  wire: string;
  default: InputValue | null;
  required: boolean;
  minimum: number | null;
  maximum: number | null;
  step: number | null;
  choices: InputValue[];
  custom: boolean;
  max_pixels: number | null;
  excludes: string[];
}

// Widgets

/** Widget values by input name. */
export type Values = Record<string, unknown>;

/** What an input is for a model. Limits are there only where the model narrows what the node declares. */
export interface Rule {
  shown: boolean;
  choices?: InputValue[];
  minimum?: number;
  maximum?: number;
  step?: number;
}

/**
 * By input: what the user chose, newest first, and does not stand in the widget now; whether the value that does is
 * not the user's; and whether the user typed one, which no model replaces then. Saved with the node.
 */
export type Memory = Record<string, { wanted: unknown[]; standsIn: boolean; typed?: boolean }>;

/** Why the chosen model deserves a word before a run. */
export type Notice = Mark | "unlisted" | "elsewhere";

// Jobs

export type JobState = "waiting" | "running" | "done" | "reused" | "failed" | "asked" | "cancelled";

export interface Job {
  id: string;
  at: number;
  task: string;
  node: string;
  node_type: string;
  /** The id that the page saves with it; empty if unknown. */
  workflow: string;
  model: string;
  prompt: string;
  seconds: number | null;
  state: JobState;
  waits_until: number | null;
  /** What the service does about a submitted request. */
  doing: LocalizedText | null;
  /** Of one under way: whether it counts as spent by now. */
  was_sent: boolean;
  reason: LocalizedText | null;
  trace_id: string;
  origins: ("paid" | "downloaded" | "reused" | "joined")[];
  has_workflow: boolean;
  pictures: JobImage[];
}

export interface JobImage {
  place: number;
  thumbnail: string;
  /** Where it is played from; `null` for an image. */
  video: string | null;
  is_here: boolean;
}

export interface JobList {
  jobs: Job[];
  now: number;
  /** Where the next part of the list begins; null at its end. */
  next: string | null;
}

/** Which jobs are shown. Nothing, or an empty text, stands for any. */
export interface JobSearch {
  words: string;
  /** With commas, as the server takes them. */
  states: string;
  tasks: string;
}

/** A file in ComfyUI's input folder. */
export interface InputFile {
  name: string;
  subfolder: string;
  type: "input";
}

// Failures

export interface Failure {
  node: string;
  /** The id of the workflow that failed; empty if unknown. */
  workflow: string;
  /** The id of the prompt. */
  prompt: string;
  kind: string;
  /** The kind of the first error of a run with several requests. */
  cause: string;
  remedies: Remedies;
  title: LocalizedText;
  message: LocalizedText;
  model: string;
  trace_id: string;
  charged: boolean | null;
  /** What the user is asked before it is sent, where that is why it stopped. */
  question: { message: LocalizedText; contents: string[]; cost: string; currency: string } | null;
}

/** What the user is asked before it is sent: of which prompts, and the hashes of what there is to confirm. */
export interface OpenQuestion {
  prompts: string[];
  contents: readonly string[];
}

/** What the server knows may help. */
export interface Remedies {
  seed?: number;
  setting?: string;
  site?: Site;
  models?: string[];
}

export type RemedyName = "key" | "settings" | "top_up" | "again" | "panel" | "model" | "site" | "setting";
/** What to do, and with what. */
export type Remedy = [name: RemedyName, argument?: string | number];

/** A failure of a run on show: when it was last heard of, and how often. */
export interface FailureEntry extends Failure {
  at: number;
  count: number;
}

/** What a node of ours refused when the graph was queued. */
export interface Rejection {
  node: string;
  kind: string;
  said: string;
  charged: false;
}

/** On show like a failure, but no model was asked. */
export interface RejectionEntry extends Rejection, Pick<Failure, "title" | "message" | "workflow"> {
  at: number;
  model?: undefined;
  trace_id?: undefined;
}

export interface FailureList {
  shown: FailureEntry[];
  hidden: number;
}

/** What ComfyUI answers of one node of a graph that it did not queue. */
export interface NodeError {
  class_type: string;
  errors: ValidationError[];
}

export interface ValidationError {
  type: string;
  message: string;
  details: string;
  extra_info?: { input_name?: string };
}

// Prompts

/** A workflow: the id of its graph, and its path in ComfyUI's list where the page has one. */
export interface Origin {
  graph: string;
  path: string | null;
}

/** Where a prompt was queued, and its nodes that are ours. */
export interface QueuedPrompt extends Origin {
  nodes: string[];
  /** The server queued it again, when its results had come in the background. */
  goesOn?: boolean;
}

/** A workflow that waits for results in the background. */
export interface WaitingRun {
  id: string;
  /** `lost`: ComfyUI was restarted meanwhile. */
  state: "waiting" | "stopped" | "lost" | "queued";
  since: number;
  reason: LocalizedText | null;
  workflow: string;
  nodes: string[];
  /** Whether a result is missing that is neither here nor under way. */
  is_missing: boolean;
  /** Whether to go on sends nothing, as far as its nodes are known. */
  is_free: boolean;
  /** The prompt of one of its nodes, if it has one. */
  prompt: string;
}

/** The content of each event, by its name without `siliconflow.`. */
export interface Events {
  failed: Failure;
  jobs: { job: Job };
  preview: { node: string; call: number; place: number };
  background: { id: string; first_prompt_id: string; prompt_id: string; state: WaitingRun["state"] | "over" };
  balance: Balance;
  settings: Record<string, never>;
  stored: Record<string, never>;
  models: Record<string, never>;
}

// Elements

/** Its parameter is bivariant, as in the DOM's own types: a listener of `onkeydown` takes a KeyboardEvent. */
type Listener = { handle(event: Event): unknown }["handle"];

export type Child = Node | string | false | null | undefined;
export type Children = (Child | Child[])[];
export type Attributes = Record<string, string | number | boolean | null | undefined | Listener>;

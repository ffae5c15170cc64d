/** The payloads of the API by the names that pages use. */
import type { components, operations } from './generated/schema';

type Schemas = components['schemas'];

export type AgentView = Schemas['AgentView'];
export type AuditRow = Schemas['AuditRow'];
export type Count = Schemas['Count'];
export type Counts = Schemas['Counts'];
export type DeadLetterView = Schemas['DeadLetterView'];
export type ExecPreview = Schemas['ExecPreview'];
export type ExecRequest = Schemas['ExecRequest'];
export type ExecView = Schemas['ExecView'];
export type Finding = Schemas['Finding'];
export type GapView = Schemas['GapView'];
export type GroupView = Schemas['GroupView'];
export type JobView = Schemas['JobView'];
export type Level = Schemas['Level'];
export type Outcome = Schemas['Outcome'];
export type OutputView = Schemas['OutputView'];
export type PlanStep = Schemas['PlanStep'];
export type Presence = Schemas['Presence'];
export type Problem = Schemas['Problem'];
export type QueuedView = Schemas['QueuedView'];
export type ResultView = Schemas['ResultView'];
export type Shell = Schemas['Shell'];
export type Stream = Schemas['Stream'];
export type SystemView = Schemas['SystemView'];
export type Targets = Schemas['Targets'];
export type TargetState = Schemas['TargetState'];
export type TargetView = Schemas['TargetView'];

/** The query that an operation takes. */
export type QueryOf<O extends keyof operations> = NonNullable<operations[O]['parameters']['query']>;

/** One page of a list. */
export interface Page<T> {
  items: T[];
  /** Cursor of the next page; absent on the last one. */
  next?: string | null;
  count: Count;
}

/** What `GET /api/v1/events` tells; a `kind` from a newer backend is passed over. */
export type LiveEvent =
  | { kind: 'agent'; agent: AgentView }
  | { kind: 'exec'; exec: ExecView }
  | { kind: 'target'; exec_id: string; target: TargetView }
  | { kind: 'result'; result: ResultView }
  | { kind: 'tail'; chunk: TailChunk }
  | { kind: 'reset' };

/** A piece of live output; offsets are in bytes. */
export interface TailChunk {
  request_id: string;
  /** Whether the PC has the run. */
  found: boolean;
  running: boolean;
  stdout_offset: number;
  stdout: string;
  stderr_offset: number;
  stderr: string;
}

/** Commands that empty pages teach. */

/** Starts an agent that joins this fleet. */
export const JOIN_COMMAND =
  'kanade-agent run --data-dir agent --join backend/secrets/agent.creds.json';
export const RUN_COMMAND = 'kanade run -t all -- uptime';
export const JOB_COMMAND = 'kanade apply -f examples/hello.yaml';
export const GROUP_COMMAND = 'kanade group set lab --pcs lab-01,lab-02';

/** Where tests leave what they made; runs that go on side by side need a folder each. */
export const OUTPUT = process.env.KANADE_E2E_OUTPUT ?? './test-results';

/** The session that one test opens and all others use. */
export const SESSION = `${OUTPUT}/session.json`;

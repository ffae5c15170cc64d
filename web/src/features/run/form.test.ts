import { expect, test } from 'vitest';

import { missing, newForm, toRequest } from './form';

const filled = { ...newForm({ groups: 'lab', pcs: 'pc-1,pc-2' }), script: 'uptime\n' };

test('an address can name the job, groups and PCs', () => {
  const form = newForm({ job: 'hello', groups: 'lab', pcs: 'pc-1,pc-2' });
  expect(form.what).toBe('job');
  expect(toRequest(form)).toMatchObject({
    what: { job: 'hello' },
    targets: { all: false, groups: ['lab'], pcs: ['pc-1', 'pc-2'] },
  });
});

test('the script is sent as it was written', () => {
  expect(toRequest(filled)?.what).toEqual({
    script: { shell: 'sh', script: 'uptime\n', timeout: '10m' },
  });
});

test('all PCs means all, whatever was picked before', () => {
  const request = toRequest({ ...filled, where: 'all', except: [{ kind: 'pc', name: 'pc-9' }] });
  expect(request?.targets).toEqual({
    all: true,
    groups: [],
    pcs: [],
    not_groups: [],
    not_pcs: ['pc-9'],
  });
});

test('nobody named is no request, and what is missing is said in order', () => {
  const empty = newForm({});
  expect(toRequest(empty)).toBeUndefined();
  expect(missing(empty)).toBe('script');
  expect(missing({ ...empty, script: 'x' })).toBe('target');
  expect(missing({ ...empty, what: 'job' })).toBe('job');
  expect(missing(filled)).toBeUndefined();
});

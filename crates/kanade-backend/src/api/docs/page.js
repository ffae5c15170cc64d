// Shows openapi.json as a page: addresses by tag, then the types they use.
'use strict';

const element = (name, props = {}, ...children) => {
  const made = Object.assign(document.createElement(name), props);
  made.append(...children);
  return made;
};

const nameOf = (ref) => ref.split('/').pop();

/** A type in a few words, with a link where it has a name. */
function typeOf(schema) {
  if (!schema || schema === true) return 'anything';
  if (schema.$ref) return element('a', { href: `#type-${nameOf(schema.$ref)}` }, nameOf(schema.$ref));
  const list = schema.oneOf || schema.anyOf || schema.allOf;
  if (list) {
    const span = element('span');
    list.forEach((one, i) => span.append(i ? (schema.allOf ? ' & ' : ' | ') : '', typeOf(one)));
    return span;
  }
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(' | ');
  if (schema.type === 'array' || (schema.type || []).includes?.('array') && schema.items) {
    return element('span', {}, 'list of ', typeOf(schema.items));
  }
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  return [schema.type].flat().filter((t) => t && t !== 'null').join(' | ') || 'anything';
}

const row = (...cells) => element('tr', {}, ...cells.map((cell) => element('td', {}, cell ?? '')));

function table(heads, rows) {
  const head = element('tr', {}, ...heads.map((text) => element('th', {}, text)));
  return element('table', {}, head, ...rows);
}

function contentOf(content) {
  const span = element('span');
  for (const [media, body] of Object.entries(content || {})) {
    span.append(span.childNodes.length ? ', ' : '', typeOf(body.schema), ` (${media})`);
  }
  return span;
}

function operation(method, path, op) {
  const title = element('summary', {},
    element('span', { className: 'method' }, method.toUpperCase()), path, '  ',
    element('small', {}, op.summary || ''));
  const box = element('details', { id: op.operationId }, title);
  box.dataset.words = `${method} ${path} ${op.summary || ''} ${op.description || ''}`.toLowerCase();
  if (op.description) box.append(element('p', {}, op.description));
  if (op.parameters?.length) {
    box.append(table(['parameter', 'in', 'type', ''], op.parameters.map((p) =>
      row(element('code', {}, p.name + (p.required ? ' *' : '')), p.in, typeOf(p.schema), p.description))));
  }
  if (op.requestBody) box.append(element('p', {}, 'Body: ', contentOf(op.requestBody.content)));
  box.append(table(['answer', '', ''], Object.entries(op.responses || {}).map(([status, answer]) =>
    row(element('code', {}, status), answer.description, contentOf(answer.content)))));
  return box;
}

function schemaBox(name, schema) {
  const box = element('details', { id: `type-${name}` }, element('summary', {}, name));
  if (schema.description) box.append(element('p', {}, schema.description));
  const fields = Object.entries(schema.properties || {});
  if (fields.length) {
    const needed = new Set(schema.required || []);
    box.append(table(['field', 'type', ''], fields.map(([field, of]) =>
      row(element('code', {}, field + (needed.has(field) ? ' *' : '')), typeOf(of), of.description))));
  } else {
    box.append(element('p', {}, typeOf(schema)));
  }
  return box;
}

/** A link to a type opens it. */
function openTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) {
    target.open = true;
    target.scrollIntoView();
  }
}

async function show() {
  const main = document.getElementById('main');
  const api = await (await fetch('openapi.json')).json();
  const tags = new Map();
  for (const [path, item] of Object.entries(api.paths)) {
    for (const [method, op] of Object.entries(item)) {
      const tag = op.tags?.[0] || 'other';
      if (!tags.has(tag)) tags.set(tag, element('section', {}, element('h2', {}, tag)));
      tags.get(tag).append(operation(method, path, op));
    }
  }
  main.replaceChildren(...tags.values());
  const schemas = Object.entries(api.components.schemas);
  document.getElementById('schemas').replaceChildren(...schemas.map(([n, s]) => schemaBox(n, s)));
  document.getElementById('filter').addEventListener('input', (event) => {
    const words = event.target.value.toLowerCase();
    for (const box of main.querySelectorAll('details')) box.hidden = !box.dataset.words.includes(words);
  });
  addEventListener('hashchange', openTarget);
  openTarget();
}

show().catch((error) => { document.getElementById('main').textContent = `Could not read the description: ${error}`; });

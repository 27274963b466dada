// Tables of what a page lists: columns to sort by, rows that stay where they are, a filter.

import { h, keyed, say, set } from './dom.mjs'
import { count } from './format.mjs'

const STATES = ['leased', 'idle', 'dialing']

/** The commonest first: "ECONNREFUSED 12". */
export function commonest(pairs) {
  const [first, second] = [...pairs].sort(([, one], [, other]) => other - one)
  if (first === undefined) return ''
  return `${first[0]} ${count(first[1])}${second === undefined ? '' : ', …'}`
}

export function summed(counts) {
  return Object.values(counts).reduce((sum, times) => sum + times, 0)
}

/** A column of how many connections are in which state, as a bar and in words; `of` tells how many of a row's are. */
export function stateColumn(id, heading, of) {
  return {
    id,
    heading,
    by: (row) => of(row, 'leased') + of(row, 'idle'),
    make: () =>
      h(
        'td',
        { 'data-label': heading, class: 'bars' },
        h('div', { class: 'bar', role: 'img' }, ...STATES.map((state) => h('i', { class: state }))),
        h('small'),
      ),
    update({ children: [bar, words] }, row) {
      const counts = STATES.map((state) => of(row, state))
      const whole = Math.max(1, summed(counts))
      counts.forEach((value, at) => {
        bar.children[at].style.width = `${(100 * value) / whole}%`
      })
      const told = `${counts[0]} busy, ${counts[1]} idle${counts[2] > 0 ? `, ${counts[2]} dialing` : ''}`
      set(bar, 'aria-label', told)
      say(words, told)
    },
  }
}

/** Of a column that has no cells of its own: its text, and a smaller one below. */
function updateTexts({ children: [main, below] }, { classes, small, text }, row) {
  say(main, text(row))
  say(below, small?.(row) ?? '')
  if (classes !== undefined) set(main, 'class', classes(row))
}

/**
 * A table; without a sort of its own where its user can't choose one. A column: heading, what it is sorted by, and its `text`, a
 * `small` one below and their `classes`, or how its cell is made and told. `kind`: what a row is, in the document.
 */
export function listTable(kind, columns, sorting) {
  const heads = columns.map(({ heading, id }) => {
    if (sorting === undefined) return h('th', { scope: 'col' }, heading)
    return h(
      'th',
      { scope: 'col', 'data-column': id },
      h('button', { type: 'button', onclick: () => sorting.choose(id) }, heading),
    )
  })
  const body = h('tbody')
  const element = h(
    'div',
    { class: 'scroll' },
    h('table', { class: 'listed' }, h('thead', {}, h('tr', {}, ...heads)), body),
  )
  const cellOf = ({ heading, make }, row) => make?.(row) ?? h('td', { 'data-label': heading }, h('span'), h('small'))
  return {
    element,
    update(rows) {
      if (sorting !== undefined) {
        for (const [at, { id }] of columns.entries()) {
          set(heads[at], 'aria-sort', id === sorting.id ? (sorting.isDescending ? 'descending' : 'ascending') : null)
        }
      }
      keyed(
        body,
        rows,
        ({ name }) => name,
        (row) => h('tr', { [`data-${kind}`]: row.name }, ...columns.map((column) => cellOf(column, row))),
        (element, row) => {
          for (const [at, column] of columns.entries()) {
            const cell = element.children[at]
            if (column.text === undefined) column.update?.(cell, row)
            else updateTexts(cell, column, row)
          }
        },
      )
    },
  }
}

const compare = (one, other) =>
  typeof one === 'string' ? one.localeCompare(other, 'en', { numeric: true }) : one - other

/** A page of them. `first`: the column that it is sorted by; `all`: tells what there is; `nothing`: says that there is none. */
export function listPage({ all, columns, first, kind, nothing, title }) {
  const sorting = {
    id: first,
    isDescending: true,
    choose(id) {
      // Numbers are looked at from the largest on, names from A.
      sorting.isDescending = sorting.id === id ? !sorting.isDescending : id !== 'name'
      sorting.id = id
      update()
    },
  }
  const what = title.toLowerCase()
  const filter = h('input', {
    type: 'search',
    id: 'filter',
    placeholder: `Filter ${what}  (/)`,
    'aria-label': `Filter ${what}`,
    oninput: () => update(),
  })
  const told = h('span', { class: 'dim' })
  const table = listTable(kind, columns, sorting)
  const empty = h('div', { class: 'card empty' })
  const element = h(
    'div',
    {},
    h('div', { class: 'row' }, h('h1', {}, title), told, h('span', { class: 'end' }, filter)),
    table.element,
    empty,
  )
  function update() {
    const wanted = filter.value.trim().toLowerCase()
    const rows = all()
    const found = rows.filter(({ name }) => name.toLowerCase().includes(wanted))
    const { by } = columns.find(({ id }) => id === sorting.id)
    const sign = sorting.isDescending ? -1 : 1
    found.sort((one, other) => sign * compare(by(one), by(other)) || compare(one.name, other.name))
    say(told, wanted === '' ? count(rows.length) : `${count(found.length)} of ${count(rows.length)}`)
    table.element.hidden = found.length === 0
    empty.hidden = found.length > 0
    say(empty, rows.length === 0 ? nothing : `No ${kind} is called so.`)
    table.update(found)
  }
  return { element, update }
}

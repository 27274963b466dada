// Elements and their texts. Everything that came from the network becomes text, never markup.

const SVG = 'http://www.w3.org/2000/svg'

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value)
    else if (value !== undefined && value !== null && value !== false)
      element.setAttribute(name, value === true ? '' : value)
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined))
  return element
}

export function h(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children)
}

export function svg(tag, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children)
}

/** Says so, if it does not already: a selection and a reader's place survive. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text
}

export function set(element, name, value) {
  if (value === null || value === undefined) element.removeAttribute(name)
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value)
}

/** Children by key, in order; those that stay are the same elements. */
export function keyed(parent, items, keyOf, make, update) {
  parent.known ??= new Map()
  const { known } = parent
  const kept = new Set()
  let at = parent.firstElementChild
  for (const item of items) {
    const key = keyOf(item)
    let element = known.get(key)
    if (element === undefined) {
      element = make(item)
      known.set(key, element)
    }
    update?.(element, item)
    kept.add(key)
    if (element === at) at = at.nextElementSibling
    else parent.insertBefore(element, at)
  }
  for (const [key, element] of known) {
    if (kept.has(key)) continue
    element.remove()
    known.delete(key)
  }
}

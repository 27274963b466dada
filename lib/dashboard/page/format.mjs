// Numbers for people.

const grouped = new Intl.NumberFormat('en')

export function count(value) {
  return grouped.format(Math.round(value))
}

export function rate(value) {
  if (value >= 100 || value === 0) return count(value)
  return value.toFixed(1)
}

export function percent(part, whole) {
  if (!whole) return '–'
  const share = (100 * part) / whole
  // What is not all had better not look like it.
  if (share > 99.9 && part < whole) return `${(Math.floor(share * 100) / 100).toFixed(2)} %`
  return `${share.toFixed(share < 99.95 && share > 0 ? 1 : 0)} %`
}

export function ms(value) {
  if (!value) return '–'
  if (value < 10) return `${value.toFixed(value < 1 ? 2 : 1)} ms`
  return value < 1000 ? `${Math.round(value)} ms` : time(value)
}

export function time(value) {
  const seconds = value / 1000
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`
  const minutes = seconds / 60
  if (minutes < 60) return `${Math.floor(minutes)} min ${Math.floor(seconds % 60)} s`
  const hours = minutes / 60
  return hours < 48 ? `${Math.floor(hours)} h ${Math.floor(minutes % 60)} min` : `${Math.floor(hours / 24)} days`
}

export function bytes(value) {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let at = 0
  let rest = value
  for (; rest >= 1000 && at < units.length - 1; at += 1) rest /= 1000
  return `${rest.toFixed(rest < 10 && at > 0 ? 1 : 0)} ${units[at]}`
}

export function clock(at) {
  return new Date(at).toTimeString().slice(0, 8)
}

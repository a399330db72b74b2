// The hub's counters. Whatever it reports is shown: a few well-known names get large tiles, nested objects (one level)
// become groups.

import { bySlot, byTestId, compact, element, grouped, setText, shortId } from './common.js'
import { Stream } from './stream.js'

const TILES = ['connections', 'published', 'delivered', 'gaps', 'subscribers', 'topics']
const BYTES = /(^|_)bytes($|_)/
const GROWING = /(^|_)(published|delivered|frames|bytes|events|sends|writes|rounds|wakeups|coalesced|batches)($|_)/
const NOT_GROWING = /(^|_)(pinned|history|retained|memory|limit|max|queue|queued|pending)($|_)/

const stats = { shape: '', cells: new Map(), samples: [] }

/** inLoop, in_loop, in-loop: one spelling to look at. */
const snake = key => key.replace(/([a-z0-9])([A-Z])/g, '$1_$2').replace(/[\s-]+/g, '_').toLowerCase()

function label(key) {
  const words = snake(key).replace(/_/g, ' ').replace(/\bin loop\b/, 'in-loop').trim()
  return words.charAt(0).toUpperCase() + words.slice(1)
}

function formatBytes(n) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let power = 0
  while (Math.abs(n) >= 1024 && power < units.length - 1) {
    n /= 1024
    power += 1
  }
  return `${power && n < 100 ? n.toFixed(1) : Math.round(n)} ${units[power]}`
}

function formatNumber(key, n) {
  if (BYTES.test(snake(key))) return formatBytes(n)
  if (Math.abs(n) >= 1e8) return compact.format(n)
  return grouped.format(Number.isInteger(n) ? n : Math.round(n * 100) / 100)
}

function formatValue(key, value) {
  if (typeof value === 'number') return formatNumber(key, value)
  if (typeof value === 'boolean') return value ? 'yes' : 'no'
  if (value === null || value === undefined) return '–'
  if (Array.isArray(value)) return value.length ? value.map(String).join(', ') : 'none'
  return typeof value === 'object' ? JSON.stringify(value) : shortId(String(value))
}

const isGroup = value => value !== null && typeof value === 'object' && !Array.isArray(value)

/** The object as a list of { path, key, value }, and its shape: the layout is built anew only when that changes. */
function flatten(data) {
  const own = [], groups = []
  for (const [key, value] of Object.entries(data)) {
    if (!isGroup(value)) own.push({ path: key, key, value })
    else groups.push({ key, entries: Object.entries(value).map(([inner, v]) => ({ path: `${key}.${inner}`, key: inner, value: v })) })
  }
  // Sorted: the keys of an object have no order.
  const shape = JSON.stringify([own.map(e => `${e.path} ${typeof e.value}`), groups.flatMap(g => g.entries.map(e => e.path))].map(list => list.sort()))
  return { own, groups, shape }
}

function buildCounters({ own, groups }) {
  stats.cells.clear()
  const cell = (entry, className) => {
    const box = element('div', className)
    const value = element('dd')
    const number = element('span')
    const rate = element('small')
    value.append(...(className === 'tile' ? [number, rate] : [rate, number]))
    box.append(element('dt', '', label(entry.key)), value)
    box.dataset.key = entry.path
    stats.cells.set(entry.path, { number, rate, value })
    return box
  }
  const list = (className, boxes) => {
    const node = element('dl', className)
    node.append(...boxes)
    return node
  }
  const large = TILES.map(key => own.find(e => snake(e.key) === key && typeof e.value === 'number')).filter(Boolean).slice(0, 4)
  const small = own.filter(entry => !large.includes(entry))
  const columns = element('div', large.length ? 'columns' : 'columns is-alone')
  if (small.length) columns.append(list('', small.map(e => cell(e, 'row'))))
  for (const { key, entries } of groups) {
    const group = element('section', 'group')
    group.append(element('h3', '', label(key)), list('', entries.map(e => cell(e, 'row'))))
    columns.append(group)
  }
  const tiles = large.length ? [list('tiles', large.map(e => cell(e, 'tile')))] : []
  byTestId('stats-list').replaceChildren(...tiles, columns)
}

function onStats(data) {
  const flat = flatten(data)
  if (flat.shape !== stats.shape) {
    buildCounters(flat)
    stats.shape = flat.shape
    stats.samples = []
  }
  const values = new Map([...flat.own, ...flat.groups.flatMap(g => g.entries)].map(e => [e.path, e]))
  const now = performance.now()
  if (stats.samples.length > 1 && now - stats.samples.at(-1).now < 300) stats.samples.pop()      // replayed in one go
  stats.samples.push({ now, values })
  if (stats.samples.length > 6) stats.samples.shift()
  const oldest = stats.samples[0]
  for (const [path, { key, value }] of values) {
    const { number, rate, value: cell } = stats.cells.get(path)
    setText(number, formatValue(key, value))
    cell.title = typeof value === 'number' ? grouped.format(value) : typeof value === 'string' ? value : ''
    const name = snake(path.replace('.', '_'))
    if (typeof value !== 'number' || !GROWING.test(name) || NOT_GROWING.test(name) || oldest.now === now) continue
    const perSecond = (value - oldest.values.get(path).value) * 1000 / (now - oldest.now)
    if (perSecond < 0) stats.samples = [stats.samples.at(-1)]          // the server was restarted
    setText(rate, perSecond > 0 ? `+${BYTES.test(name) ? formatBytes(perSecond) : grouped.format(Math.round(perSecond * 10) / 10)}/s` : '')
  }
}

export const statsStream = new Stream('/events/stats', bySlot('stats-state'), { stats: onStats })

// Small functions that all parts of the page have in common: nodes, numbers, ids, and the server's time.

export const byTestId = id => document.querySelector(`[data-testid="${id}"]`)
export const bySlot = name => document.querySelector(`[data-slot="${name}"]`)

export function element(tag, className, text) {
  const node = document.createElement(tag)
  if (className) node.className = className
  if (text !== undefined) node.textContent = text
  return node
}

/** Sets text only when it differs, so that live regions do not repeat themselves. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text
}

export const grouped = new Intl.NumberFormat('en')
export const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 2 })
export const plural = (n, one, many = `${one}s`) => `${grouped.format(n)} ${n === 1 ? one : many}`
export const timeOfDay = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false })
export const seconds = ms => `${Math.max(0, Math.floor(ms / 1000))} s`

/** A hub's id is `{epoch}-{seq}`: which life of the log, and the place in it. Other ids have no sequence. */
export function splitId(id) {
  const match = /^(.+)-(\d+)$/.exec(id)
  return match ? { epoch: match[1], seq: Number(match[2]) } : { epoch: null, seq: null }
}

/** Its two ends; the sequence is what one wants to see. */
export function shortId(id) {
  const { epoch, seq } = splitId(id)
  return seq !== null && epoch.length > 9 ? `${epoch.slice(0, 7)}…-${seq}` : id
}

export const reducedMotion = matchMedia('(prefers-reduced-motion: reduce)')

// How far this machine's clock is from the server's. The smallest difference seen is the one with the least delay in it;
// it may rise slowly, so that a clock that was set does not spoil it for good.
let clockOffset = null
export function noteServerTime(at) {
  if (!Number.isFinite(at)) return
  const difference = Date.now() - at
  clockOffset = clockOffset === null ? difference : Math.min(clockOffset + 1, difference)
}
export const toLocalTime = at => at + (clockOffset ?? 0)
export const toServerTime = at => at - (clockOffset ?? 0)

export function setEnabled(button, enabled) {
  button.setAttribute('aria-disabled', String(!enabled))     // not `disabled`: the keyboard's focus would be lost
}

export function whenEnabled(testId, action) {
  byTestId(testId).addEventListener('click', event => {
    if (event.currentTarget.getAttribute('aria-disabled') !== 'true') action()
  })
}

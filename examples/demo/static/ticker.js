// The ticker: the price, how fast it comes, and the chart of the last minute.

import {
  bySlot, byTestId, grouped, noteServerTime, reducedMotion, seconds, setText, toLocalTime, toServerTime,
} from './common.js'
import { Stream } from './stream.js'

const WINDOW = 60_000          // what the chart shows
const BEHIND = 350             // it is drawn this much behind, so that the line glides from one price to the next

const ticker = {
  points: [],                  // { at, price }, by server time
  received: 0,
  since: 0,
}

function onPrice(data) {
  const { at, price } = data
  if (!Number.isFinite(at) || !Number.isFinite(price)) return
  noteServerTime(at)
  const { points } = ticker
  ticker.received += 1
  ticker.since ||= Date.now()
  if (points.length && at < points.at(-1).at) points.length = 0      // another server, or its clock was set
  points.push({ at, price })
  while (points[0].at < at - WINDOW - 5_000) points.shift()

  setText(byTestId('ticker-price'), price.toFixed(2))
  const total = byTestId('ticker-events')
  total.dataset.count = ticker.received
  setText(total, grouped.format(ticker.received))
  if (typeof data.symbol === 'string') setText(bySlot('ticker-symbol'), data.symbol)

  const first = points.find(point => point.at >= at - WINDOW)
  const change = price - first.price
  const delta = bySlot('ticker-delta')
  delta.dataset.dir = Math.abs(change) < 0.005 ? 'flat' : change > 0 ? 'up' : 'down'
  const sign = { up: '▲ +', down: '▼ −', flat: '± ' }[delta.dataset.dir]
  setText(delta, `${sign}${Math.abs(change).toFixed(2)} in ${seconds(Math.min(WINDOW, at - first.at + 500))}`)
  bySlot('chart-empty').hidden = true
}

function showRate() {
  if (!ticker.since) return
  const now = Date.now()
  const span = Math.min(5_000, Math.max(1_000, now - ticker.since))
  const count = ticker.points.filter(point => toLocalTime(point.at) > now - span).length
  setText(byTestId('ticker-rate'), (count * 1000 / span).toFixed(1))
}

function startChart() {
  const canvas = bySlot('chart')
  const context = canvas.getContext('2d')
  const scheme = matchMedia('(prefers-color-scheme: dark)')
  const colors = {}
  let width = 0, height = 0, font = ''
  let low = null, high = null          // the eased limits of the price axis
  let visible = true, lastDrawn = 0

  function readColors() {
    const style = getComputedStyle(document.documentElement)
    for (const name of ['accent', 'soft', 'line', 'card']) colors[name] = style.getPropertyValue(`--${name}`).trim()
    font = `12px ${style.getPropertyValue('--sans')}`
  }

  function resize() {
    const ratio = Math.min(3, devicePixelRatio || 1)
    const box = canvas.getBoundingClientRect()
    width = box.width
    height = box.height
    canvas.width = Math.round(width * ratio)
    canvas.height = Math.round(height * ratio)
    context.setTransform(ratio, 0, 0, ratio, 0, 0)
    lastDrawn = 0
    draw()
  }

  /** The step 1, 2 or 5 times a power of ten that gives about `count` lines. */
  function niceStep(span, count) {
    const raw = span / count
    const power = 10 ** Math.floor(Math.log10(raw))
    return power * [1, 2, 5, 10].find(factor => factor * power >= raw)
  }

  function draw() {
    if (!width || !height) return
    context.clearRect(0, 0, width, height)
    const { points } = ticker
    if (!points.length) return

    const right = toServerTime(Date.now()) - BEHIND
    const left = right - WINDOW
    const shown = points.filter((point, i) => point.at >= left || points[i + 1]?.at >= left)
    if (!shown.length) return

    // The price axis: room around what is seen, reached gently.
    const prices = shown.map(point => point.price)
    const min = Math.min(...prices), max = Math.max(...prices)
    const pad = Math.max((max - min) * 0.16, 0.05)
    const ease = reducedMotion.matches || low === null ? 1 : 0.12
    low = (low ?? min - pad) + (min - pad - (low ?? min - pad)) * ease
    high = (high ?? max + pad) + (max + pad - (high ?? max + pad)) * ease

    const plot = { left: 0, right: width - 54, top: 8, bottom: height - 24 }
    const x = at => plot.left + (at - left) / WINDOW * (plot.right - plot.left)
    const y = price => plot.bottom - (price - low) / (high - low) * (plot.bottom - plot.top)

    context.font = font
    context.textBaseline = 'middle'
    context.lineWidth = 1
    context.strokeStyle = colors.line
    context.fillStyle = colors.soft
    const step = niceStep(high - low, 4)
    const decimals = Math.max(0, Math.min(3, -Math.floor(Math.log10(step))))
    context.textAlign = 'left'
    for (let price = Math.ceil(low / step) * step; price <= high; price += step) {
      const at = Math.round(y(price)) + 0.5
      if (at < plot.top || at > plot.bottom - 4) continue
      context.beginPath()
      context.moveTo(plot.left, at)
      context.lineTo(plot.right, at)
      context.stroke()
      context.fillText(price.toFixed(decimals), plot.right + 10, at)
    }
    for (const ago of plot.right > 420 ? [60, 45, 30, 15, 0] : [60, 30, 0]) {
      const at = plot.right - ago * 1000 / WINDOW * (plot.right - plot.left)
      context.textAlign = ago === 60 ? 'left' : ago === 0 ? 'right' : 'center'
      context.fillText(ago ? `${ago} s ago` : 'now', at, height - 8)
    }

    // The line up to the drawn moment: the last piece of it is still on the way to the next price. A silence breaks it.
    const path = []
    for (let i = 0; i < shown.length; i++) {
      const point = shown[i], before = shown[i - 1]
      if (point.at > right) {
        if (before && point.at - before.at < 2_500) {
          const part = (right - before.at) / (point.at - before.at)
          path.push({ at: right, price: before.price + (point.price - before.price) * part })
        }
        break
      }
      path.push({ ...point, jump: Boolean(before) && point.at - before.at > 2_500 })
    }
    if (!path.length) return

    context.save()
    context.beginPath()
    context.rect(plot.left, 0, plot.right - plot.left + 8, plot.bottom)
    context.clip()
    const fill = context.createLinearGradient(0, plot.top, 0, plot.bottom)
    fill.addColorStop(0, colors.accent)
    fill.addColorStop(1, `${colors.accent}00`)         // the colors are #rrggbb; this is the same one with alpha 0
    const pieces = []
    for (const point of path) {
      if (!pieces.length || point.jump) pieces.push([])
      pieces.at(-1).push(point)
    }
    for (const piece of pieces) {
      const line = new Path2D()
      piece.forEach((point, i) => line[i ? 'lineTo' : 'moveTo'](x(point.at), y(point.price)))
      const area = new Path2D(line)
      area.lineTo(x(piece.at(-1).at), plot.bottom)
      area.lineTo(x(piece[0].at), plot.bottom)
      context.globalAlpha = 0.16
      context.fillStyle = fill
      context.fill(area)
      context.globalAlpha = 1
      context.strokeStyle = colors.accent
      context.lineWidth = 2
      context.lineJoin = 'round'
      context.stroke(line)
    }
    context.restore()

    const tip = path.at(-1)
    if (tip.at < left) return
    context.beginPath()
    context.arc(x(tip.at), y(tip.price), 4.5, 0, 2 * Math.PI)
    context.fillStyle = colors.accent
    context.fill()
    context.lineWidth = 2
    context.strokeStyle = colors.card
    context.stroke()
  }

  function loop(now) {
    const interval = reducedMotion.matches ? 1_000 : 32        // about 30 frames a second are enough; still life is one
    if (visible && now - lastDrawn >= interval) {
      lastDrawn = now
      draw()
    }
    requestAnimationFrame(loop)
  }

  readColors()
  scheme.addEventListener('change', () => {
    readColors()
    draw()
  })
  new ResizeObserver(resize).observe(canvas)
  new IntersectionObserver(entries => { visible = entries.at(-1).isIntersecting }).observe(canvas)
  requestAnimationFrame(loop)
}
startChart()

export const tickerStream = new Stream('/events/ticker', bySlot('ticker-state'), { price: onPrice })
setInterval(showRate, 500)

// The same routes in every framework: `routes` maps a path to a request handler.
import { createServer } from 'node:http'

import express5 from 'express'
import express4 from 'express4'
import Fastify from 'fastify'
import Koa from 'koa'
import { sse } from 'ssehub/express'
import ssehub from 'ssehub/fastify'

/** What frameworks do with an error: the status 500 and the message, and `seen` gets the error. */
function withExpress(express) {
  return (routes, seen = []) => {
    const app = express()
    app.use((_req, res, next) => {
      res.setHeader('Access-Control-Allow-Origin', '*')
      res.setHeader('Set-Cookie', ['a=1', 'b=2'])
      next()
    })
    for (const [path, handler] of Object.entries(routes)) app.all(path, handler)
    app.use((error, _req, res, _next) => {
      seen.push(error)
      res.status(500).send(error.message)
    })
    return createServer(app)
  }
}

function withHttp(routes, seen = []) {
  return createServer((req, res) => {
    res.setHeader('Access-Control-Allow-Origin', '*')
    res.setHeader('Set-Cookie', ['a=1', 'b=2'])
    const handler = routes[req.url.split('?')[0]]
    // Connect's way: the handler is called with next.
    handler(req, res, error => {
      seen.push(error)
      res.statusCode = 500
      res.end(error.message)
    })
  })
}

function withKoa(routes, seen = []) {
  const app = new Koa()
  app.use(async (ctx, next) => {
    ctx.set('Access-Control-Allow-Origin', '*')
    ctx.set('Set-Cookie', ['a=1', 'b=2'])
    await next()
  })
  app.use(ctx => {
    ctx.respond = false
    routes[ctx.path](ctx.req, ctx.res, error => {
      seen.push(error)
      ctx.res.statusCode = 500
      ctx.res.end(error.message)
    })
  })
  return createServer(app.callback())
}

export const frameworks = {
  'express 5': withExpress(express5),
  'express 4': withExpress(express4),
  'node:http': withHttp,
  koa: withKoa,
}

/** Servers that answer every request with a stream: `source` is a function of the request. */
export const streaming = {
  ...Object.fromEntries(
    Object.entries(frameworks).map(([name, make]) => [
      name,
      (source, options) => make({ '/': sse(source, options) }),
    ]),
  ),
  'fastify 5': async (source, options) => {
    const app = Fastify()
    await app.register(ssehub)
    app.all('/', (request, reply) => reply.sse(source(request.raw), options))
    await app.ready()
    return createServer(app.routing)
  },
}

/** An Express app of one route, behind middleware. */
export function expressApp(handler, ...middleware) {
  const made = express5()
  for (const layer of middleware) made.use(layer)
  made.all('/', handler)
  made.use((error, _req, res, _next) => res.status(500).send(error.code))
  return createServer(made)
}

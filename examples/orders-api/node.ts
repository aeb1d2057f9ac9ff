import { createServer } from 'node:http'
import { nodeGuard } from '../../guard/index.ts'
import { guard, options } from './guard.ts'

/** The same API on Node alone. */
const protect = nodeGuard(options)
const server = createServer((request, response) => {
  if (request.url !== '/orders') {
    response.end('orders')
    return
  }
  void protect(request, response).then((claims) => {
    if (claims) {
      response.setHeader('Content-Type', 'application/json')
      response.end(JSON.stringify({ orders: ['a book'], for: claims['sub'] }))
    }
  })
})

await guard.ready()
server.listen(Number(process.env['PORT']), '127.0.0.1')

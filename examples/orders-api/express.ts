import express from 'express'
import { type Claims, expressGuard } from '../../guard/index.ts'
import { guard, options } from './guard.ts'

/** The same API on Express. */
const app = express()
app.get('/', (_, response) => void response.send('orders'))
app.get('/orders', expressGuard(options), (_, response) => {
  const { sub } = response.locals['claims'] as Claims
  response.json({ orders: ['a book'], for: sub })
})

await guard.ready()
app.listen(Number(process.env['PORT']), '127.0.0.1')

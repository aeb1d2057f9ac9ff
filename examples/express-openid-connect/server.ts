import { randomUUID } from 'node:crypto'
import express from 'express'
import openid from 'express-openid-connect'
import { FileStore } from './file-store.ts'

const { ISSUER = '', CLIENT_ID = '', CLIENT_SECRET = '', PORT = '3000', SESSIONS_DIR = './sessions' } = process.env
const baseURL = `http://localhost:${PORT}`

const app = express()
app.use(
  openid.auth({
    issuerBaseURL: ISSUER,
    baseURL,
    clientID: CLIENT_ID,
    clientSecret: CLIENT_SECRET,
    secret: process.env['COOKIE_SECRET'] ?? randomUUID(),
    authRequired: false,
    authorizationParams: { response_type: 'code', scope: 'openid' },
    session: { store: new FileStore(`${SESSIONS_DIR}/sessions`) },
    // The whole of it: POST /backchannel-logout ends the session that the logout token names.
    backchannelLogout: { store: new FileStore(`${SESSIONS_DIR}/logouts`) },
  }),
)
app.get('/', (_, res) => void res.send('Anybody may see this page. <a href="/protected">Log in</a>'))
app.get('/protected', openid.requiresAuth(), (_, res) => void res.send('You are logged in.'))
app.listen(Number(PORT), '127.0.0.1', () => console.log(`Listening on ${baseURL}`))

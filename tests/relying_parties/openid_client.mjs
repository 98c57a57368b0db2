// openid-client as a confidential relying party. Speaks with its test line by line: prints where the browser must go,
// reads where the browser came back to.
import { createInterface } from 'node:readline/promises'
import * as client from 'openid-client'

const [issuer, clientId, secret, redirectUri, goodbye, method] = process.argv.slice(2)
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const ask = async (what, url) => {
  console.log(JSON.stringify({ [what]: url }))
  return new URL((await lines.next()).value)
}

const authentication = { basic: client.ClientSecretBasic, post: client.ClientSecretPost, none: client.None }[method](secret)
const options = issuer.startsWith('http:') ? { execute: [client.allowInsecureRequests] } : {}
const config = await client.discovery(new URL(issuer), clientId, undefined, authentication, options)

const verifier = client.randomPKCECodeVerifier()
const state = client.randomState()
const nonce = client.randomNonce()
const url = client.buildAuthorizationUrl(config, {
  redirect_uri: redirectUri,
  scope: 'openid profile email offline_access',
  code_challenge: await client.calculatePKCECodeChallenge(verifier),
  code_challenge_method: 'S256',
  state,
  nonce,
  max_age: '3600',
})
const back = await ask('visit', url.href)
const tokens = await client.authorizationCodeGrant(config, back, {
  pkceCodeVerifier: verifier,
  expectedState: state,
  expectedNonce: nonce,
  idTokenExpected: true,
  maxAge: 3600,
})
const claims = tokens.claims()
const person = await client.fetchUserInfo(config, tokens.access_token, claims.sub)
const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token)
const again = await client.fetchUserInfo(config, refreshed.access_token, claims.sub)
const seen = method === 'none' ? undefined : await client.tokenIntrospection(config, refreshed.access_token)
await client.tokenRevocation(config, refreshed.refresh_token)
let revoked
try {
  await client.fetchUserInfo(config, refreshed.access_token, claims.sub)
} catch (error) {
  revoked = error.status ?? error.cause?.status ?? error.code
}
const left = await ask('leave', client.buildEndSessionUrl(config, {
  post_logout_redirect_uri: goodbye,
  id_token_hint: tokens.id_token,
  state: 'farewell',
}).href)
console.log(JSON.stringify({ claims, person, again, seen, revoked, left: left.href, rotated: refreshed.refresh_token !== tokens.refresh_token }))
process.exit(0)

// The peer: oidc-provider with its state in memory and one process, as a provider with the same endpoints as ours.
// Prints {port, cookie} when it listens. Each line on standard input, {kind, client, count}, is answered by one line: a list of
// that many codes, refresh tokens or access tokens. Nothing of that is measured.
import { createHash, generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { Provider } from 'oidc-provider';

const { secret, verifier, redirectUri } = JSON.parse(process.argv[2]);
console.info = console.error; // its notices would stand among our lines
const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
const SCOPE = 'openid profile email offline_access';

// Plain maps: the adapter that oidc-provider brings keeps only a thousand entries.
const stored = new Map();
class Memory {
  constructor(kind) { this.kind = kind; }
  key(id) { return `${this.kind}:${id}`; }
  async upsert(id, payload) {
    stored.set(this.key(id), payload);
    if (payload.uid) stored.set(`uid:${payload.uid}`, payload);
  }
  async find(id) { return stored.get(this.key(id)); }
  async findByUid(uid) { return stored.get(`uid:${uid}`); }
  async consume(id) { stored.get(this.key(id)).consumed = Math.floor(Date.now() / 1000); }
  async destroy(id) { stored.delete(this.key(id)); }
  async revokeByGrantId() { throw new Error('a measured request was refused'); }
}

const key = (type, options, alg) => ({
  ...generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' }), alg, use: 'sig', kid: alg,
});
const client = (id, alg) => ({
  client_id: id, client_secret: secret, redirect_uris: [redirectUri], response_types: ['code'],
  grant_types: ['authorization_code', 'refresh_token'], id_token_signed_response_alg: alg, scope: SCOPE,
});

const server = createServer();
await new Promise((listening) => { server.listen(0, '127.0.0.1', listening); });
const { port } = server.address();
const provider = new Provider(`http://127.0.0.1:${port}`, {
  adapter: Memory,
  clients: [client('RS', 'RS256'), client('ES', 'ES256')],
  jwks: { keys: [key('rsa', { modulusLength: 2048 }, 'RS256'), key('ec', { namedCurve: 'P-256' }, 'ES256')] },
  claims: { profile: ['name'], email: ['email', 'email_verified'] },
  features: { devInteractions: { enabled: false }, introspection: { enabled: true }, revocation: { enabled: true } },
  findAccount: async (_, sub) => ({
    accountId: sub, claims: async () => ({ sub, name: 'Carol Example', email: 'carol@example.org', email_verified: true }),
  }),
  rotateRefreshToken: true,
  cookies: { keys: [] },
  ttl: { AccessToken: 3600, AuthorizationCode: 3600, Grant: 86400, IdToken: 3600, RefreshToken: 86400, Session: 86400 },
});
server.on('request', provider.callback());

const accountId = 'carol';
const now = Math.floor(Date.now() / 1000);
const session = new provider.Session({ accountId, loginTs: now, amr: ['pwd'], acr: '1' });
const grants = {};
for (const clientId of ['RS', 'ES']) {
  const grant = new provider.Grant({ accountId, clientId });
  grant.addOIDCScope(SCOPE);
  grants[clientId] = await grant.save();
  session.ensureClientContainer(clientId);
  session.grantIdFor(clientId, grants[clientId]);
}
await session.save(86400);
say({ port, cookie: `_session=${session.id}` });

const KINDS = { code: 'AuthorizationCode', refresh: 'RefreshToken', access: 'AccessToken' };
for await (const line of createInterface({ input: process.stdin })) {
  const { kind, client: clientId, count } = JSON.parse(line);
  const facts = {
    accountId, client: await provider.Client.find(clientId), grantId: grants[clientId], scope: SCOPE, gty: 'authorization_code',
    sessionUid: session.uid, sid: session.sidFor(clientId), expiresWithSession: false,
    ...(kind === 'access' ? {} : { acr: '1', amr: ['pwd'], authTime: now, nonce: 'n-0S6_WzA2Mj' }),
    ...(kind === 'code' ? {
      codeChallenge: createHash('sha256').update(verifier).digest('base64url'), codeChallengeMethod: 'S256', redirectUri,
    } : {}),
  };
  const made = [];
  for (let i = 0; i < count; i += 1) made.push(await new provider[KINDS[kind]](facts).save());
  say(made);
}

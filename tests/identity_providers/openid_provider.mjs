// oidc-provider (npm) as a social provider that nobody here wrote. Prints {port} when it listens; one line on standard input,
// {redirectUri}, then makes the provider with us as its client, which is answered by a line. Its own pages ask for any name.
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { Provider } from 'oidc-provider';

const secret = process.env.CLIENT_SECRET;
console.info = console.error; // its notices would stand among our lines
const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

const server = createServer();
await new Promise((listening) => { server.listen(0, '127.0.0.1', listening); });
const { port } = server.address();
say({ port });

for await (const line of createInterface({ input: process.stdin })) {
  const { redirectUri } = JSON.parse(line);
  const jwk = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });
  const provider = new Provider(`http://localhost:${port}`, {
    clients: [{ client_id: 'we-at-node', client_secret: secret, redirect_uris: [redirectUri], response_types: ['code'] }],
    jwks: { keys: [{ ...jwk, alg: 'RS256', use: 'sig', kid: 'one' }] },
    claims: { openid: ['sub'], profile: ['name'], email: ['email', 'email_verified'] },
    pkce: { required: () => true },
    findAccount: async (_, sub) => ({
      accountId: sub, claims: async () => ({ sub, name: 'Carol Example', email: `${sub}@example.org`, email_verified: true }),
    }),
    cookies: { keys: [secret] },
  });
  server.on('request', provider.callback());
  say('ready');
}

// samlp (npm), the library from which identity providers are built in the Node world, with express.
//
// Arguments: port, folder with key.pem and certificate.pem, alice's password. Standard input: a service provider as a line of
// JSON {entityId, acs, slo, certificate, encrypted, signResponse}; "known" is printed when it is known.
import { X509Certificate, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import express from 'express';
import samlp from 'samlp';
import SessionParticipants from 'samlp/lib/sessionParticipants/index.js';

const REDIRECT = 'urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect';
const EMAIL = 'urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress';
const [port, folder, password] = process.argv.slice(2);
const issuer = `http://localhost:${port}/metadata`;
const key = readFileSync(`${folder}/key.pem`);
const cert = readFileSync(`${folder}/certificate.pem`);
const alice = {
  id: 'alice@node.example', displayName: 'Alice Archer', name: { givenName: 'Alice', familyName: 'Archer' },
  emails: [{ value: 'alice@node.example' }],
};
let sp; // the service provider
const sessions = new Map(); // secret in the cookie → who was let in from here, with which session index
const kept = new Map(); // what a logout in progress must remember

createInterface({ input: process.stdin }).on('line', (line) => {
  sp = JSON.parse(line);
  console.log('known');
});

const app = express();
app.use(express.urlencoded({ extended: false }));
app.use((req, res, next) => {
  req.body ??= {};
  req.secret = /(?:^|; )samlp=(\w+)/.exec(req.headers.cookie ?? '')?.[1];
  req.here = sessions.get(req.secret);
  next();
});

app.get('/metadata', samlp.metadata({
  issuer, cert, redirectEndpointPath: '/sso', postEndpointPath: '/sso', logoutEndpointPaths: { redirect: '/slo' },
}));

app.all('/sso', (req, res, next) => {
  const received = { ...req.query, ...req.body };
  if (!req.here) {
    const fields = Object.entries(received).map(([name, value]) => `<input type="hidden" name="${name}" value="${value}">`);
    res.send(`<form method="post" action="/sign-in">${fields.join('')}<input type="password" name="password"></form>`);
    return;
  }
  const index = '_' + randomBytes(16).toString('hex');
  req.here.push({
    serviceProviderId: sp.entityId, nameId: alice.id, nameIdFormat: EMAIL, sessionIndex: index,
    serviceProviderLogoutURL: sp.slo, cert: sp.certificate, binding: REDIRECT,
  });
  samlp.auth({
    issuer, key, cert, audience: sp.entityId, destination: sp.acs, recipient: sp.acs, sessionIndex: index,
    nameIdentifierFormat: EMAIL, nameIdentifierProbes: ['http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress'],
    signResponse: sp.signResponse, signAssertion: !sp.signResponse, signingCert: sp.certificate,
    getPostURL: (audience, request, given, done) => done(null, sp.acs),
    getUserFromRequest: () => alice,
    ...(sp.encrypted && {
      encryptionCert: sp.certificate,
      encryptionPublicKey: new X509Certificate(sp.certificate).publicKey.export({ type: 'spki', format: 'pem' }),
    }),
  })(req, res, next);
});

// Takes the password and repeats the request as it came, so that its signature still holds.
app.post('/sign-in', (req, res) => {
  const { password: given, ...received } = req.body;
  if (given !== password) return res.status(401).send('no');
  const secret = randomBytes(16).toString('hex');
  sessions.set(secret, []);
  res.setHeader('Set-Cookie', `samlp=${secret}; HttpOnly; Path=/; SameSite=Lax`);
  res.redirect(303, `/sso?${new URLSearchParams(received)}`);
});

const store = {
  save(req, state, done) {
    const handle = randomBytes(16).toString('hex');
    kept.set(handle, state);
    done(null, handle);
  },
  load(req, handle, options, done) {
    const state = kept.get(handle);
    if (typeof options === 'function') return options(null, state);
    if (options.destroy) kept.delete(handle);
    done(null, state);
  },
  update(req, handle, state, done) {
    kept.set(handle, state);
    done(null, handle);
  },
};
app.get('/slo', (req, res, next) => samlp.logout({
  issuer, key, cert, protocolBinding: REDIRECT, deflate: true, store,
  signatureAlgorithm: 'rsa-sha256', digestAlgorithm: 'sha256',
  sessionParticipants: new SessionParticipants(req.here ?? []),
  clearIdPSession: (done) => { sessions.delete(req.secret); done(); },
})(req, res, next));

app.get('/', (req, res) => res.send(req.here ? 'signed in' : 'signed out'));
app.use((error, req, res, next) => res.status(400).send(`refused: ${error.message}`));
app.listen(Number(port), '127.0.0.1', () => console.log('listening'));

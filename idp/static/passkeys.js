"use strict";
// Passkeys. What needs this file stays hidden until it runs, and no page needs it.

(() => {
  if (!window.PublicKeyCredential) return;

  const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (sign) => sign.charCodeAt(0));
  const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  const named = (one) => ({ ...one, id: bytes(one.id) });

  // The browser's own ways to read and write these in JSON are missing or broken in some, and in some password managers.
  const read = (options) => ({
    ...options,
    challenge: bytes(options.challenge),
    ...(options.user && { user: named(options.user) }),
    ...(options.allowCredentials && { allowCredentials: options.allowCredentials.map(named) }),
    ...(options.excludeCredentials && { excludeCredentials: options.excludeCredentials.map(named) }),
  });
  const written = ({ id, rawId, type, response }) => ({
    id,
    rawId: text(rawId),
    type,
    response: {
      clientDataJSON: text(response.clientDataJSON),
      ...(response.attestationObject && { attestationObject: text(response.attestationObject), transports: response.getTransports?.() ?? [] }),
      ...(response.signature && { authenticatorData: text(response.authenticatorData), signature: text(response.signature) }),
      ...(response.userHandle && { userHandle: text(response.userHandle) }),
    },
  });

  for (const form of document.querySelectorAll("form[data-passkey]")) {
    const publicKey = read(JSON.parse(form.dataset.passkey));
    const makes = "makes" in form.dataset;
    const button = [...form.elements].find((one) => one.type === "button");
    const said = document.getElementById("passkey-said");
    let waiting = new AbortController();
    let over = Promise.resolve();

    const send = (credential) => {
      form.elements.answer.value = JSON.stringify(written(credential));
      const keep = document.getElementById("keep");
      if (keep && form.elements.keep) form.elements.keep.value = keep.checked ? "yes" : "";
      form.submit();
    };
    const ask = async (mediation) => {
      // Only one may be under way: what waits among the suggestions of a field makes room.
      waiting.abort();
      await over;
      waiting = new AbortController();
      const request = { publicKey, signal: waiting.signal, ...(mediation && { mediation }) };
      const asked = makes ? navigator.credentials.create(request) : navigator.credentials.get(request);
      over = asked.then(() => {}, () => {});
      send(await asked);
    };
    const suggest = async () => {
      if (!("suggests" in form.dataset) || !(await window.PublicKeyCredential.isConditionalMediationAvailable?.())) return;
      ask("conditional").catch(() => {}); // taken back, or the browser has changed its mind: the page stands as it was
    };

    button.addEventListener("click", async () => {
      if (!form.reportValidity()) return;
      button.disabled = true;
      said.textContent = "";
      try {
        await ask();
      } catch (error) {
        said.textContent = error.name === "InvalidStateError" && makes ? said.dataset.known : said.dataset.nothing;
        suggest();
      }
      button.disabled = false;
    });
    // Enter in a field of the form does what the button does.
    form.addEventListener("submit", (event) => { event.preventDefault(); button.click(); });
    button.hidden = false;
    if (form.contains(button)) form.hidden = false;
    for (const one of document.querySelectorAll("[data-without-passkeys]")) one.hidden = true;
    suggest();
  }
})();

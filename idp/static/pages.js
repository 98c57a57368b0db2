"use strict";
// Every page works without this file; it only adds.

for (const code of document.querySelectorAll("code[data-copy]")) {
  if (!navigator.clipboard) break;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "small";
  button.setAttribute("aria-live", "polite");
  button.textContent = code.dataset.copy;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = code.dataset.copied;
    setTimeout(() => { button.textContent = code.dataset.copy; }, 3000);
  });
  code.after(button);
}

for (const input of document.querySelectorAll("input[data-show]")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "small";
  button.id = `${input.id}-show`;
  button.textContent = input.dataset.show;
  // Read out together with the field's name: "Show Password".
  button.setAttribute("aria-labelledby", `${button.id} ${input.id}-label`);
  button.addEventListener("click", () => {
    const shown = input.type === "text";
    input.type = shown ? "password" : "text";
    button.textContent = shown ? input.dataset.show : input.dataset.hide;
    input.focus();
  });
  input.after(button);
  // Never leave a password readable, nor let the browser remember it as ordinary text.
  input.form.addEventListener("submit", () => { input.type = "password"; });
}

for (const zones of document.querySelectorAll("select[data-here]")) {
  // The browser knows where it is: a suggestion, which counts when the form is sent.
  const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
  for (const zone of zones.options) if (zone.value === here) zone.selected = true;
}

for (const part of document.querySelectorAll("[data-follow]")) {
  // What goes on by itself is looked at again, but never under the hands of somebody who is doing something here.
  setInterval(() => {
    if (!document.hidden && document.activeElement === document.body) location.reload();
  }, part.dataset.follow * 1000);
}

for (const form of document.forms) {
  let sent = 0;
  form.addEventListener("submit", (event) => {
    // A double click sends once. Not for ever: a form that opens a native product leaves this page standing.
    if (event.timeStamp - sent < 2000 && sent) event.preventDefault();
    else sent = event.timeStamp;
  });
}

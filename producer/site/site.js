// What changes while a job runs is fetched anew, as the server writes it, and put in its place.
(() => {
  const text = document.getElementById("text");
  addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input")) return;
    if (text) { text.focus(); text.select(); event.preventDefault(); }
  });

  function hideLost(within) {
    for (const image of within.querySelectorAll(".thumb img")) {
      image.addEventListener("error", () => image.remove());
      if (image.complete && image.naturalWidth === 0 && image.currentSrc) image.remove();
    }
  }

  async function renew(id) {
    const old = document.getElementById(id);
    const wait = Number(old.dataset.live || 0);
    if (!wait) return;
    setTimeout(async () => {
      try {
        if (!document.hidden) {
          const answer = await fetch(old.dataset.from || location.href, { headers: { Accept: "text/html" } });
          if (!answer.ok) throw new Error(answer.statusText);
          const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(id);
          const held = old.contains(document.activeElement) && document.activeElement !== old;
          if (fresh && !held && fresh.outerHTML !== old.outerHTML) {
            tellOfMore(old, fresh);
            keepPictures(old, fresh);
            old.replaceWith(fresh);
            hideLost(fresh);
          }
        }
      } catch {
        // The server is away: what was seen last stays, and it is asked again.
      }
      renew(id);
    }, wait * 1000);
  }

  // A picture that is there already is not loaded again: the list would flicker.
  function keepPictures(old, fresh) {
    const had = new Map([...old.querySelectorAll(".thumb")].map((thumb) => [thumb.getAttribute("href"), thumb]));
    for (const thumb of fresh.querySelectorAll(".thumb")) {
      const same = had.get(thumb.getAttribute("href"));
      if (same) thumb.replaceWith(same);
    }
  }

  // Records that are done since stand on no page yet; nobody's place is taken from under their eyes.
  function tellOfMore(old, fresh) {
    const told = document.getElementById("fresh");
    if (told && old.dataset.done !== fresh.dataset.done) told.hidden = false;
  }

  hideLost(document);
  for (const id of ["jobs", "progress"]) if (document.getElementById(id)) renew(id);
})();

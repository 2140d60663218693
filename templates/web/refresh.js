// Shows the page anew when it changed, keeping open what is open; says so when its server is gone.
const main = document.querySelector("main");
const state = document.querySelector("#state");
let shown = main.innerHTML;
const look = async () => {
  try {
    const text = await (await fetch(location.href)).text();
    const next = new DOMParser().parseFromString(text, "text/html").querySelector("main");
    state.textContent = "";
    if (next && next.innerHTML !== shown) {
      shown = next.innerHTML;
      const open = [...main.querySelectorAll("details")].map((one) => one.open);
      main.replaceChildren(...next.childNodes);
      main.querySelectorAll("details").forEach((one, index) => { one.open = open[index] ?? one.open; });
    }
  } catch {
    state.textContent = " · it has ended; this is the last that was seen";
  }
  setTimeout(look, 1000);
};
setTimeout(look, 1000);

// The read-out under the pointer and the theme button. The page is complete without this.
"use strict";
(() => {
  const result = JSON.parse(document.getElementById("result").textContent);

  const digits = (n) => (n < 9.995 ? n.toFixed(2) : n < 99.95 ? n.toFixed(1) : Math.round(n).toLocaleString("en"));
  const share = (n) => (n === null ? "-" : (n === 1 ? "100" : (n * 100).toFixed(n > 0.99 ? 2 : 1)) + "%");
  const seconds = (n) =>
    n === null ? "-" : n < 0.0009995 ? Math.round(n * 1e6) + "us" : n < 0.9995 ? digits(n * 1e3) + "ms" : digits(n) + "s";

  const judged = (w) => (!w.valid ? "invalid" : w.bad === null ? "not judged" : w.bad ? "bad" : "good");
  const quantile = "p" + +(result.plan.quantile * 100).toFixed(3);

  const words = (w) => [
    ["at", +w.start_s.toFixed(1) + "s"],
    ["", judged(w)],
    ["attainment", share(w.attainment)],
    ["p50", seconds(w.p50_s)],
    [quantile, seconds(w.p_q_s)],
    ["good", digits(w.goodput_per_s) + "/s"],
    ["sent", w.sent],
    ["errors", w.errors],
    ["timeouts", w.timeouts],
    ["in flight", digits(w.in_flight)],
    ["lag p99", seconds(w.lag_p99_s)],
  ];

  const element = (name, text) => {
    const made = document.createElement(name);
    made.textContent = text;
    return made;
  };

  for (const run of result.runs) {
    const charts = document.querySelector(`#run-${run.index} .charts`);
    const out = charts && charts.querySelector(".readout");
    if (!out || run.windows.length === 0) continue;
    const [from, to] = [+charts.dataset.from, +charts.dataset.to];
    let chosen = -1;

    const show = (i) => {
      chosen = Math.max(0, Math.min(run.windows.length - 1, i));
      const w = run.windows[chosen];
      const x = ((w.start_s + w.width_s / 2 - from) / (to - from)) * 100 + "%";
      for (const cross of charts.querySelectorAll(".cross")) {
        cross.setAttribute("x1", x);
        cross.setAttribute("x2", x);
        cross.style.visibility = "visible";
      }
      out.replaceChildren(
        ...words(w).map(([name, value]) => {
          const span = element("span", name ? name + " " : "");
          span.append(element("b", value));
          return span;
        }),
      );
    };

    charts.addEventListener("pointermove", (event) => {
      const box = charts.querySelector(".plot").getBoundingClientRect();
      const t = from + ((event.clientX - box.left) / box.width) * (to - from);
      const i = run.windows.findIndex((w) => t < w.start_s + w.width_s);
      show(i < 0 ? run.windows.length - 1 : i);
    });
    charts.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 }[event.key];
      if (step === undefined && event.key !== "Home" && event.key !== "End") return;
      event.preventDefault();
      show(event.key === "Home" ? 0 : event.key === "End" ? run.windows.length - 1 : chosen + step);
    });
    out.setAttribute("aria-live", "polite");
    out.append(element("span", "Point at a chart to read a window, or use the arrow keys."));
    out.hidden = false;
  }

  const themes = ["auto", "light", "dark"];
  const button = document.getElementById("theme");
  button.hidden = false;
  button.addEventListener("click", () => {
    const now = document.documentElement.dataset.theme || "auto";
    const next = themes[(themes.indexOf(now) + 1) % themes.length];
    if (next === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    button.textContent = "theme: " + next;
  });
})();

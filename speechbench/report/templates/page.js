// The page reads without this. It copies commands, unfolds everything for print, and moves a line over the spectrogram.
for (const code of document.querySelectorAll("code.command")) {
  const button = document.createElement("button");
  button.textContent = "Copy";
  button.setAttribute("aria-label", "Copy the command " + code.textContent);
  button.onclick = () => {
    const range = document.createRange();
    range.selectNodeContents(code);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    button.textContent = document.execCommand("copy") ? "Copied" : "Press Ctrl+C";  // the clipboard's API is not for files
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  };
  code.after(button);
}
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  for (const details of folded) details.open = true;
});
addEventListener("afterprint", () => { for (const details of folded) details.open = false; });
for (const player of document.querySelectorAll(".player")) {
  const audio = player.querySelector("audio"), line = player.querySelector(".playhead"), picture = player.querySelector("img");
  const move = () => {
    line.style.left = 100 * audio.currentTime / picture.dataset.seconds + "%";
    line.hidden = false;
    if (!audio.paused) requestAnimationFrame(move);
  };
  audio.onplay = move;
  audio.onseeked = move;
  picture.onclick = (event) => {
    audio.currentTime = picture.dataset.seconds * event.offsetX / picture.clientWidth;
    audio.play();
  };
}

"use strict";
// Copy buttons. Without this script they stay hidden, and the text beside them can still be selected.
(function () {
  async function copy(source) {
    try {
      await navigator.clipboard.writeText(source.textContent);
      return true;
    } catch {
      getSelection().selectAllChildren(source); // where the clipboard is refused, and to show what was meant
      return document.execCommand("copy");
    }
  }
  for (const button of document.querySelectorAll("button[data-copy]")) {
    const label = button.textContent;
    button.hidden = false;
    button.addEventListener("click", async () => {
      const copied = await copy(document.getElementById(button.dataset.copy));
      button.textContent = copied ? "Copied" : "Selected";
      setTimeout(() => { button.textContent = label; }, 2000);
    });
  }
})();

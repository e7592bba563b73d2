// SPDX-License-Identifier: GPL-2.0-only
//
// dhat.js DH_VIEW.JS FILE... - opens files of DHAT in valgrind's own viewer, run by node with as much of
// a document as it asks for, and prints for each what the viewer makes of it, one JSON object a line:
// the sums at the root of its tree, the number of its leaves, and whether it drew them all.
"use strict";

const fs = require("fs");
const vm = require("vm");

class Element {
  constructor(text) {
    this.childNodes = [];
    this.own = text === undefined ? "" : text;
    this.classList = { add() {}, contains() { return false; } };
    this.selectedIndex = 0;
  }
  appendChild(child) {
    this.childNodes.push(child);
    child.parentNode = this;
    return child;
  }
  replaceChild(other, child) {
    this.childNodes[this.childNodes.indexOf(child)] = other;
    other.parentNode = this;
  }
  cloneNode() { return new Element(); }
  set textContent(text) { this.childNodes = [new Element(text)]; }
  get textContent() {
    return this.own + this.childNodes.map((child) => child.textContent).join("");
  }
}

function view(source, file) {
  const document = {
    body: new Element(),
    location: { search: "" },
    createElement: () => new Element(),
    createTextNode: (text) => new Element(text),
  };
  const context = vm.createContext({
    document, performance, URLSearchParams, console, Intl,
    window: {}, text: fs.readFileSync(file, "utf8"),
  });
  vm.runInContext(source, context, { filename: "dh_view.js" });
  vm.runInContext("onLoad(); gFilename = 'x'; gData = JSON.parse(text); buildTree(); displayTree();",
    context);
  context.shown = document.body.textContent;
  return vm.runInContext(`(() => {
    let leaves = [];
    let walk = (t) => t._kids ? t._kids.forEach(walk) : leaves.push(t._totalBytes);
    walk(gRoot);
    return JSON.stringify({
      mode: gData.mode, total_bytes: gRoot._totalBytes, total_blocks: gRoot._totalBlocks,
      end_bytes: gRoot._atTEndBytes, end_blocks: gRoot._atTEndBlocks,
      peak_bytes: gRoot._atTGmaxBytes, lifetimes: gRoot._totalLifetimes, leaves,
      drawn: shown.includes("PP 1") && shown.includes("Invocation {"),
    });
  })()`, context);
}

const source = fs.readFileSync(process.argv[2], "utf8");
for (const file of process.argv.slice(3))
  console.log(view(source, file));

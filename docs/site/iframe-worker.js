// Search runs in a worker, which browsers refuse to a page that was opened as a file: there an iframe does the work.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      document.body.appendChild(frame)
      const inside = frame.contentWindow
      const load = (address, document) => new Promise((resolve, reject) => {
        const script = document.createElement("script")
        script.src = address
        script.onload = resolve
        script.onerror = reject
        document.body.appendChild(script)
      })
      inside.document.open()
      inside.document.write("<!doctype html><body></body>")
      inside.document.close()
      // What the worker says goes to the page, and what the page says to the worker.
      inside.postMessage = data => {
        const event = new MessageEvent("message", { data })
        this.dispatchEvent(event)
        if (this.onmessage) this.onmessage(event)
      }
      inside.importScripts = (...addresses) => addresses.reduce(
        (before, address) => before.then(() => load(address, inside.document)), Promise.resolve()
      )
      this.inside = inside
      this.ready = load(new URL(url, document.baseURI).href, inside.document)
    }

    postMessage(data) {
      this.ready.then(() => this.inside.dispatchEvent(new MessageEvent("message", { data })))
    }

    terminate() {
      this.inside.frameElement.remove()
    }
  }
}

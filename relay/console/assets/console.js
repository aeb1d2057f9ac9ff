// Makes what the server has drawn follow what happens. Without it, pages work and are loaded anew.
// On a phone the names of the pages do not fit beside each other.
const nav = document.querySelector('nav')
const here = nav?.querySelector('[aria-current]')
if (here) {
  nav.scrollLeft = here.offsetLeft - nav.offsetLeft - 40
}
const main = document.querySelector('main[data-live]')
if (main) {
  const source = new EventSource(main.dataset.live)
  const stale = document.querySelector('.stale')
  // The relay says something at least every ten seconds.
  const QUIET_MS = 25000
  let heard = new Date()
  const isHeard = () => {
    heard = new Date()
    stale.hidden = true
  }
  const isStale = () => {
    const since = heard.toISOString()
    stale.textContent = `The relay does not answer. What you see is of ${since.slice(0, 10)} ${since.slice(11, 19)} UTC, and may be wrong by now.`
    stale.hidden = false
  }
  setInterval(() => Date.now() - heard.getTime() > QUIET_MS && stale.hidden && isStale(), 1000)
  source.addEventListener('open', isHeard)
  source.addEventListener('still', isHeard)
  source.addEventListener('now', ({ data }) => {
    isHeard()
    const focused = document.activeElement?.getAttribute('href')
    main.innerHTML = data
    if (focused) {
      main.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus()
    }
  })
  // Refused for good: the session is too old, and the login page knows what to do; or too many watch, and it can wait.
  source.addEventListener('error', () => {
    isStale()
    if (source.readyState === EventSource.CLOSED) {
      setTimeout(() => location.reload(), 5000)
    }
  })
  source.addEventListener('ended', () => {
    source.close()
    location.assign('/console/ended')
  })
}

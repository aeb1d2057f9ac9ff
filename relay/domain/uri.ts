/** Whether the URL names this machine, by its text: a name that merely resolves to loopback is not meant. */
export function isLoopback(uri: string): boolean {
  if (!URL.canParse(uri)) {
    return false
  }
  const { hostname } = new URL(uri)
  return hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d{1,3}){3}$/.test(hostname)
}

const MAX_URI = 2000

/** What is wrong with a back-channel logout URI (OpenID Connect Back-Channel Logout 1.0 §2.2), or undefined. */
export function logoutUriComplaint(uri: string): string | undefined {
  if (!URL.canParse(uri) || !/^https?:\/\//.test(uri)) {
    return 'is no absolute http(s) URL; an example: https://wiki.example.org/backchannel-logout'
  }
  const { username, password } = new URL(uri)
  if (username !== '' || password !== '') {
    return 'holds a user name or password, which would be stored and shown'
  }
  if (uri.includes('#')) {
    return 'has a fragment, which OpenID Connect Back-Channel Logout 1.0 §2.2 forbids'
  }
  return uri.length > MAX_URI ? `is longer than ${MAX_URI} characters` : undefined
}

/** Whether the URL names this machine, by its text: a name that merely resolves to loopback is not meant. */
export function isLoopback(uri: string): boolean {
  if (!URL.canParse(uri)) {
    return false
  }
  const { hostname } = new URL(uri)
  return hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d{1,3}){3}$/.test(hostname)
}

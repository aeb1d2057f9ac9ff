/**
 * What may be asked over HTTP, and by whom. The formats are in docs/protocol.md.
 */
package org.logoutrelay.keycloak.rest;

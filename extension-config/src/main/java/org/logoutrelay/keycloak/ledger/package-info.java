/**
 * What Keycloak forgets: who was given which session, until an answer or its latest end.
 */
package org.logoutrelay.keycloak.ledger;

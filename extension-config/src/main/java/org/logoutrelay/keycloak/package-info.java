/**
 * The Keycloak half of Logout Relay. Each package uses only those above it in this list, and a test holds it to that:
 *
 * <pre>
 * base         the database and its clock, ids, JSON, and the tie of our part of a change to the change itself
 * client       what a realm's clients say about themselves as relying parties
 * gate         what is from before a watermark does not exist
 * login        what a login has to prove after an event
 * ledger       every session that an application was given
 * workload     what clients were given without a login of a person
 * trigger      what starts a containment, and what the realm's policy makes of it
 * rotation     what becomes of a client's new secret
 * outbox       what is owed to the relay, in its words, and what became of it
 * containment  what an event does to its subject
 * directory    what changes in the directories behind Keycloak
 * upstream     what the identity providers say that users are linked to
 * settle       what follows the commit
 * rest         what the relay and people may ask
 * spi          what Keycloak loads
 * </pre>
 *
 * Read it as an event goes: {@link org.logoutrelay.keycloak.spi.LogoutRelayListener} sees it, {@link
 * org.logoutrelay.keycloak.trigger.Trigger} says what it is, {@link org.logoutrelay.keycloak.containment.Containment}
 * writes our part, which {@link org.logoutrelay.keycloak.base.AllOrNothing} commits with the change; {@link
 * org.logoutrelay.keycloak.settle.AfterCommit} lists whom to tell, pushes and cleans up; {@link
 * org.logoutrelay.keycloak.rest.Endpoints} is all that the relay may ask. {@link
 * org.logoutrelay.keycloak.gate.Gate} stands in the way of every request from then on.
 */
package org.logoutrelay.keycloak;

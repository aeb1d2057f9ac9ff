package org.logoutrelay.keycloak.upstream;

import jakarta.persistence.Column;
import jakarta.persistence.Entity;
import jakarta.persistence.Id;
import jakarta.persistence.Table;

/** An identity provider, or a realm behind this one, that has spoken. Locked while a word of it is judged, so that no two pass the limit together. */
@Entity
@Table(name = "LOGOUT_RELAY_UPSTREAM")
public class SourceRow {
    /** {@code Upstreams.sourceId}. */
    @Id
    @Column(name = "ID")
    String id;

    @Column(name = "REALM_ID")
    String realmId;

    /** As its newest word has it. */
    @Column(name = "ISS")
    String iss;

    /** The {@code sub} of the access token with which somebody last decided on what was held. */
    @Column(name = "DECIDED_BY")
    String decidedBy;

    /** {@code confirmed} or {@code dismissed}. */
    @Column(name = "DECISION")
    String decision;

    /** Why, in their words. */
    @Column(name = "DECIDED_REASON")
    String decidedReason;

    /** When they did, in ms of the database; else 0. What came before counts towards no limit any more. */
    @Column(name = "DECIDED_MS")
    long decidedMs;
}

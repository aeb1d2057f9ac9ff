package org.logoutrelay.keycloak.rotation;

import jakarta.persistence.Column;
import jakarta.persistence.Entity;
import jakarta.persistence.Id;
import jakarta.persistence.Table;

/** The newest change of a client's secret, and how far it has come. Times in ms of the database. */
@Entity
@Table(name = "LOGOUT_RELAY_ROTATION")
public class RotationRow {
    @Id
    @Column(name = "CLIENT_UUID")
    String clientUuid;

    /** Another one for each new secret. */
    @Column(name = "ID")
    String id;

    @Column(name = "BEGUN_MS")
    long begunMs;

    /** When the client has first proven itself by the new secret, or null. */
    @Column(name = "NEW_SEEN_MS")
    Long newSeenMs;

    /** When it has last done so by the old one; exact to the second. 0 where it has not. */
    @Column(name = "OLD_LAST_MS")
    long oldLastMs;

    /** When something was last got for a token that goes back to the old one, or may; as exact. 0 where nothing was. */
    @Column(name = "DERIVED_LAST_MS")
    long derivedLastMs;

    /** From when on no old secret counts any more, or null. */
    @Column(name = "RETIRED_MS")
    Long retiredMs;
}

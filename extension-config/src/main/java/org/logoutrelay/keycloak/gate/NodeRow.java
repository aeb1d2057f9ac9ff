package org.logoutrelay.keycloak.gate;

import jakarta.persistence.Column;
import jakarta.persistence.Entity;
import jakarta.persistence.Id;
import jakarta.persistence.Table;

/** A node that is there, and how its wall clock goes: what it issues carries its own times. */
@Entity
@Table(name = "LOGOUT_RELAY_NODE")
public class NodeRow {
    @Id
    @Column(name = "ID")
    String id;

    /** By the database's clock. */
    @Column(name = "SEEN_MS")
    long seenMs;

    /** By how much the wall clock is ahead of the database's; negative where it is behind. */
    @Column(name = "AHEAD_MS")
    long aheadMs;
}

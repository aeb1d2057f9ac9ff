package org.logoutrelay.keycloak.directory;

import jakarta.persistence.Column;
import jakarta.persistence.Entity;
import jakarta.persistence.Id;
import jakarta.persistence.Table;

/** One LDAP provider of a realm: how far it has been looked at, by whom, and what came of it. Times in ms of the database. */
@Entity
@Table(name = "LOGOUT_RELAY_DIRECTORY")
public class DirectoryRow {
    /** Keycloak's id of the provider. */
    @Id
    @Column(name = "PROVIDER_ID")
    String providerId;

    @Column(name = "REALM_ID")
    String realmId;

    /** When it is to be looked at next. */
    @Column(name = "DUE_MS")
    long dueMs;

    /** Until then one node is at it. */
    @Column(name = "LEASE_MS")
    long leaseMs;

    /** The last user that was looked at; they are taken in the order of {@code Ids.key}. */
    @Column(name = "REACHED")
    String reached;

    /** {@code watched}; {@code held} while too many changes at once wait for a person's word; {@code confirmed}, {@code dismissed}. */
    @Column(name = "STATE")
    String state;

    /** The changes that wait. */
    @Column(name = "HELD")
    int held;

    /** Since when they do: a word is about what had changed by then. */
    @Column(name = "HELD_MS")
    Long heldMs;

    /** The {@code sub} of the access token with which somebody confirmed or dismissed it last. */
    @Column(name = "DECIDED_BY")
    String decidedBy;

    /** {@code confirmed} or {@code dismissed}, which {@link #state} is only until all have been looked at. */
    @Column(name = "DECISION")
    String decision;

    @Column(name = "DECIDED_MS")
    Long decidedMs;

    /** Why, in their words. */
    @Column(name = "DECIDED_REASON")
    String decidedReason;

    /** When all users had been looked at. */
    @Column(name = "LOOKED_MS")
    Long lookedMs;

    /** The users of the last look, and those of them of whose password the directory tells no time. */
    @Column(name = "USERS")
    int users;

    @Column(name = "WITHOUT_CLOCK")
    int withoutClock;

    /** By how much the directory's clock is ahead; null where it does not tell its time. */
    @Column(name = "AHEAD_MS")
    Long aheadMs;

    @Column(name = "FAILING_SINCE_MS")
    Long failingSinceMs;

    /** Why the last look failed, without what the directory has said; null where it did not. */
    @Column(name = "FAILURE")
    String failure;
}

package org.logoutrelay.keycloak.directory;

import jakarta.persistence.Column;
import jakarta.persistence.Entity;
import jakarta.persistence.Id;
import jakarta.persistence.Table;

/**
 * What was last seen of a user in their directory. Changed only from what it was, so that of two nodes which see the same
 * change one acts, in the transaction in which it acts.
 */
@Entity
@Table(name = "LOGOUT_RELAY_DIRECTORY_USER")
public class SeenRow {
    @Id
    @Column(name = "USER_ID")
    String userId;

    /** {@code Ids.key} of the user's id, as in the ledger. */
    @Column(name = "USER_KEY")
    long userKey;

    @Column(name = "PROVIDER_ID")
    String providerId;

    /** The time of the last change of the password as the directory writes it, or {@link PasswordClock#NONE}. */
    @Column(name = "PASSWORD_CLOCK")
    String passwordClock;

    @Column(name = "DISABLED")
    boolean disabled;

    /** When the directory was first seen without the user, in ms of the database; 0 while the user is there. */
    @Column(name = "GONE_MS")
    long goneMs;

    /**
     * Up to when a login is old by what was seen here, in ms of the database, where nothing was there to end: a code may be
     * redeemed later, and single sign-on used, by a login that no application had seen by then. Else 0.
     */
    @Column(name = "OLD_UNTIL_MS")
    long oldUntilMs;
}

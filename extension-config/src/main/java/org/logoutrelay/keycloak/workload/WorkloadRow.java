package org.logoutrelay.keycloak.workload;

import jakarta.persistence.Column;
import jakarta.persistence.Entity;
import jakarta.persistence.Id;
import jakarta.persistence.Table;

/** One way in which a client was given tokens, and how often. Times in ms of the database. */
@Entity
@Table(name = "LOGOUT_RELAY_WORKLOAD")
public class WorkloadRow {
    /** {@code Ids.hash} of all that it is counted by. */
    @Id
    @Column(name = "ID")
    String id;

    @Column(name = "REALM_ID")
    String realmId;

    /** Keycloak's own id of the client, or empty where an administrator of another realm has asked. */
    @Column(name = "CLIENT_UUID")
    String clientUuid;

    /** As {@link Workload#kind()} has it. */
    @Column(name = "KIND")
    String kind;

    /** Empty together with the address: all for whom there was no room. */
    @Column(name = "ACCOUNT_ID")
    String accountId;

    /** Whether that is the service account of a client. */
    @Column(name = "IS_SERVICE")
    boolean service;

    @Column(name = "ADDRESS")
    String address;

    @Column(name = "AUTH_METHOD")
    String method;

    @Column(name = "KEY_ID")
    String key;

    @Column(name = "USES")
    long uses;

    @Column(name = "FIRST_MS")
    long firstMs;

    @Column(name = "LAST_MS")
    long lastMs;

    /** Seconds that the longest-lived of these tokens lives, or {@link Given#NO_END}. */
    @Column(name = "LONGEST_S")
    long longestS;

    /** Seconds since the epoch: when the last of these tokens ends, or {@link Given#NO_END}. */
    @Column(name = "LATEST_END")
    long latestEnd;

    /** When a refresh token was last given, or 0. */
    @Column(name = "REFRESH_MS")
    long refreshMs;

    /** When an offline token was last given, or 0. */
    @Column(name = "OFFLINE_MS")
    long offlineMs;

    /** A bit for each hour of the day, UTC, in which it has happened. */
    @Column(name = "HOURS")
    int hours;

    /** On how many days, UTC. */
    @Column(name = "DAYS")
    int days;
}

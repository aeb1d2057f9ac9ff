package org.logoutrelay.keycloak.outbox;

import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;

import jakarta.persistence.Column;
import jakarta.persistence.Embedded;
import jakarta.persistence.Entity;
import jakarta.persistence.Id;
import jakarta.persistence.Table;

import org.hibernate.annotations.DynamicUpdate;
import org.keycloak.common.util.Time;
import org.logoutrelay.keycloak.base.Json;
import org.logoutrelay.keycloak.gate.Spared;

/**
 * One Security Event Token owed to the relay, with all that its logout tokens need. Of a change only the columns that it
 * changes are written: a look at it, an acknowledgement and an answer may come at the same moment, and none must undo another.
 */
@Entity
@DynamicUpdate
@Table(name = "LOGOUT_RELAY_OUTBOX")
public class OutboxRow {
    @Id
    @Column(name = "JTI")
    String jti;

    @Embedded
    SecurityEvent event;

    @Column(name = "WATERMARK_MS")
    long watermarkMs;

    @Column(name = "PART")
    int part;

    @Column(name = "PARTS")
    int parts;

    /** JSON array of {@code ListedSession}. No {@code @Lob}: on PostgreSQL that would store a number instead of the text. */
    @Column(name = "SESSIONS")
    String sessions;

    /** Seconds. The greatest latest end among the sessions. */
    @Column(name = "LAST_END")
    long lastEnd;

    /** Sessions for which no answer has been reported yet. */
    @Column(name = "OPEN_SESSIONS")
    int openSessions;

    /** When it was listed who has to be told; null before, and then nobody is handed the row. */
    @Column(name = "LISTED_MS")
    Long listedMs;

    /** JSON array: what the gate has refused since the event, by kind, client and address; null for nothing. */
    @Column(name = "REFUSED_AFTER")
    String refusedAfter;

    /** When no old session of the subject was left in Keycloak's store; null until that has been seen. */
    @Column(name = "REMOVED_MS")
    Long removedMs;

    /** When the relay took it over, by a 202 or an {@code ack}. */
    @Column(name = "ACKED_MS")
    Long ackedMs;

    @Column(name = "ERR")
    String err;

    @Column(name = "ERR_DESCRIPTION")
    String errDescription;

    @Column(name = "ERR_MS")
    Long errMs;

    /** When the last of its sessions got its answer. */
    @Column(name = "ENDED_MS")
    Long endedMs;

    /** JSON object: what the steps beyond the sessions have ended, by step; null for nothing. */
    @Column(name = "STEPS")
    String steps;

    /** Old sessions that a later look has found alive, and ended. */
    @Column(name = "SURVIVORS")
    int survivors;

    /** JSON array: the clients, by client id, whose offline sessions of this subject live on by policy, or null. */
    @Column(name = "SPARED_OFFLINE")
    String sparedOffline;

    /** JSON array: aliases of the identity providers that the subject is still linked to after the steps, or null. */
    @Column(name = "IDENTITY_PROVIDERS")
    String identityProviders;

    /** JSON object: how the client that the subject is has been given tokens, as the event found it; null for nothing. */
    @Column(name = "CLIENT_USED")
    String clientUsed;

    /** When to look for old sessions again; null when the last look is over. */
    @Column(name = "NEXT_LOOK_MS")
    Long nextLookMs;

    /** JSON object: what has been seen of its privileged subject since the event, by what; null for nothing. */
    @Column(name = "WATCHED")
    String watched;

    /** For Hibernate. */
    protected OutboxRow() {
    }

    /** The first row of an event, of which nobody has listed yet who has to be told. */
    public OutboxRow(SecurityEvent event, long watermarkMs) {
        this.event = event;
        this.watermarkMs = watermarkMs;
        this.nextLookMs = event.shadow() || event.sid() != null ? null : looksFromMs() + Outbox.LOOKS_MS[0];
    }

    /** For something that is found out later. */
    public OutboxRow supplement() {
        OutboxRow row = sibling();
        row.listedMs = Time.currentTimeMillis();
        row.removedMs = row.listedMs;
        return row;
    }

    /** For sessions that do not fit into this row. */
    OutboxRow nextPart() {
        OutboxRow row = sibling();
        row.listedMs = listedMs;
        row.nextLookMs = nextLookMs;
        row.steps = steps;
        row.identityProviders = identityProviders;
        return row;
    }

    private OutboxRow sibling() {
        OutboxRow row = new OutboxRow();
        row.event = event;
        row.watermarkMs = watermarkMs;
        row.sparedOffline = sparedOffline;
        return row;
    }

    public String jti() {
        return jti;
    }

    public SecurityEvent event() {
        return event;
    }

    public long watermarkMs() {
        return watermarkMs;
    }

    public boolean isListed() {
        return listedMs != null;
    }

    /** Whether no old session was left in Keycloak's store at one of the looks. */
    public boolean isCleanedUp() {
        return removedMs != null;
    }

    public boolean isDueForALook() {
        return nextLookMs != null && nextLookMs <= Time.currentTimeMillis();
    }

    long looksFromMs() {
        return event.looksFromMs() == null ? watermarkMs : event.looksFromMs();
    }

    /** The offline sessions that live on after the event by policy. */
    public Spared spared() {
        return sparedOffline == null ? Spared.NOTHING : new Spared(Set.copyOf(Json.texts(sparedOffline)));
    }

    public void spare(Set<String> clients) {
        sparedOffline = clients.isEmpty() ? null : Json.write(new TreeSet<>(clients));
    }

    /** The event reaches further than was known when it was written. */
    public void raiseTo(long ms) {
        watermarkMs = Math.max(watermarkMs, ms);
    }

    public void steps(Map<String, Integer> done) {
        steps = done.isEmpty() ? null : Json.write(done);
    }

    public void identityProviders(List<String> aliases) {
        identityProviders = aliases.isEmpty() ? null : Json.write(aliases);
    }

    public void clientUsed(Map<String, Object> used) {
        clientUsed = used.isEmpty() ? null : Json.write(used);
    }

    public void survivors(int ended) {
        survivors = ended;
    }

    public void watched(Map<String, Integer> counts) {
        watched = Json.write(counts);
    }

    public void refusedAfter(List<Map<String, Object>> counts) {
        refusedAfter = Json.write(counts);
    }
}

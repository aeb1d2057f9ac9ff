package org.logoutrelay.keycloak.outbox;

import org.keycloak.common.util.Time;
import org.logoutrelay.keycloak.gate.Nodes;
import org.logoutrelay.keycloak.trigger.Trigger;

import jakarta.persistence.Column;
import jakarta.persistence.Embeddable;

/**
 * What has happened to a subject, as all outbox rows of it say in the same words. Never changed once it is written.
 *
 * @param txn names the event in all that is told of it
 * @param iss the issuer as it was named when the event happened; the host name may have changed by the time a row is signed
 * @param sid the one session that the event is about, or null: all of the user's
 * @param detail the type of the credential that was changed, or null
 * @param privileged whether the subject had a privileged role
 * @param shadow whether it was only found and reported, and nothing was ended
 * @param goesOn {@code ListedSession.key()} of the session in which the person goes on who made the change, or null. Never listed.
 * @param node the node that has written the event; it alone knows when the commit was over
 * @param looksFromMs what the looks count from, where that is not the watermark: everybody's logout may be confirmed days after it
 * @param askedBy the {@code sub} of the access token with which somebody asked for it; null where it just happened
 * @param askedClient the client that their token was issued to
 * @param upstreamIss the identity provider that has said so; null where it did not
 * @param upstreamTxn what that calls the event
 * @param client the client, by client id, whose service account the subject is, or which is the subject itself; else null
 * @param clientTokens whether all tokens that the client was issued have ended, also those that people have at it
 */
@Embeddable
public record SecurityEvent(
        @Column(name = "TXN") String txn,
        @Column(name = "REALM_ID") String realmId,
        @Column(name = "USER_ID") String userId,
        @Column(name = "ISS") String iss,
        @Column(name = "TRIGGER_ID") String triggerId,
        @Column(name = "SID") String sid,
        @Column(name = "DETAIL") String detail,
        @Column(name = "PRIVILEGED") boolean privileged,
        @Column(name = "SHADOW") boolean shadow,
        @Column(name = "SPARED") String goesOn,
        @Column(name = "NODE") String node,
        @Column(name = "LOOKS_FROM_MS") Long looksFromMs,
        @Column(name = "ASKED_BY") String askedBy,
        @Column(name = "ASKED_CLIENT") String askedClient,
        @Column(name = "ASKED_REASON") String askedReason,
        @Column(name = "UPSTREAM_ISS") String upstreamIss,
        @Column(name = "UPSTREAM_TXN") String upstreamTxn,
        @Column(name = "CLIENT") String client,
        @Column(name = "CLIENT_TOKENS") boolean clientTokens) {

    /** As this node writes it now. */
    public static SecurityEvent of(Trigger.Match match, String txn, String realmId, String userId, String iss, boolean privileged,
            boolean shadow, String goesOn, String client, boolean clientTokens) {
        Trigger.Asked asked = match.asked();
        Trigger.Upstream upstream = match.upstream();
        return new SecurityEvent(txn, realmId, userId, iss, match.trigger().id(), match.sid(), match.detail(), privileged, shadow,
                goesOn, Nodes.ID, match.atMs() == null ? null : Time.currentTimeMillis(), asked == null ? null : asked.by(),
                asked == null ? null : asked.clientId(), asked == null ? null : asked.reason(),
                upstream == null ? null : upstream.iss(), upstream == null ? null : upstream.txn(), client, clientTokens);
    }

    /** What it is called where it was told of first: by whoever has told this realm, or here. */
    String firstTxn() {
        return upstreamTxn == null ? txn : upstreamTxn;
    }
}

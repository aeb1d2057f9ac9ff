package org.logoutrelay.keycloak.outbox;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;

import org.keycloak.common.util.Time;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.logoutrelay.keycloak.base.Jpa;
import org.logoutrelay.keycloak.client.ListedSession;
import org.logoutrelay.keycloak.ledger.Ledger;

import com.fasterxml.jackson.annotation.JsonProperty;

/** What the relying parties said, session by session. Only {@code delivered} ends a session's rows in the ledger. */
public final class Answers {
    private static final String DELIVERED = "delivered";
    private static final Set<String> OUTCOMES = Set.of(DELIVERED, "expired", "dismissed");

    private Answers() {
    }

    /** As the relay reports it; {@code status} is the HTTP status where there was one. */
    public record Answer(String id, String outcome, Integer status, @JsonProperty("at_ms") Long atMs) {
    }

    record Recorded(List<String> recorded, Map<String, String> refused) {
    }

    /** Outcomes by session id. */
    public static Map<String, String> of(KeycloakSession session, String jti) {
        return Jpa.em(session).createQuery("select a from AnswerRow a where a.jti = :jti", AnswerRow.class)
                .setParameter("jti", jti).getResultStream().collect(Collectors.toMap(a -> a.id, a -> a.outcome));
    }

    public static Recorded record(KeycloakSession session, RealmModel realm, List<Answer> answers) {
        Recorded result = new Recorded(new ArrayList<>(), new LinkedHashMap<>());
        for (Answer answer : answers) {
            if (answer.id() == null || answer.outcome() == null || answer.atMs() == null
                    || !OUTCOMES.contains(answer.outcome())) {
                result.refused().put(String.valueOf(answer.id()), "malformed");
            } else if (record(session, realm, answer)) {
                result.recorded().add(answer.id());
            } else {
                result.refused().put(answer.id(), "unknown");
            }
        }
        return result;
    }

    private static boolean record(KeycloakSession session, RealmModel realm, Answer answer) {
        SessionId id = SessionId.parse(answer.id());
        OutboxRow event = id == null ? null : Outbox.find(session, realm.getId(), id.jti()).orElse(null);
        List<ListedSession> sessions = event == null ? List.of() : ListedSession.read(event.sessions);
        if (id == null || id.n() >= sessions.size()) {
            return false;
        }
        if (Jpa.em(session).find(AnswerRow.class, answer.id()) != null) {
            return true;
        }
        ListedSession ended = sessions.get(id.n());
        AnswerRow row = new AnswerRow();
        row.id = answer.id();
        row.jti = event.jti;
        row.outcome = answer.outcome();
        row.status = answer.status();
        row.atMs = answer.atMs();
        Jpa.em(session).persist(row);
        if (ended.awaitsAnswer() && --event.openSessions <= 0) {
            event.endedMs = Time.currentTimeMillis();
        }
        if (DELIVERED.equals(answer.outcome())) {
            Ledger.delivered(session, realm.getId(), ended, event.watermarkMs);
        }
        return true;
    }
}

package org.logoutrelay.keycloak.rotation;

import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Stream;

import org.keycloak.OAuth2Constants;
import org.keycloak.events.Event;
import org.keycloak.events.EventType;
import org.keycloak.jose.jws.JWSInput;
import org.keycloak.jose.jws.JWSInputException;
import org.keycloak.models.KeycloakSession;
import org.keycloak.representations.JsonWebToken;
import org.logoutrelay.keycloak.gate.Requests;

import jakarta.ws.rs.core.HttpHeaders;
import jakarta.ws.rs.core.MultivaluedMap;

/**
 * A token that is got for another one, without the client's secret: by exchange, or as a permission. It is younger than the
 * use of the secret that the first one goes back to, and says nothing of it.
 */
final class Derived {
    private static final Set<EventType> TYPES = Set.of(EventType.TOKEN_EXCHANGE, EventType.PERMISSION_TOKEN);
    /** How Keycloak's ids of tokens begin: a session, a kind of token, and the grant; neither an exchange nor a permission. */
    private static final Pattern BY_A_PROOF = Pattern.compile("[a-z]{4}(?!te|pg)[a-z]{2}:.+");

    private static final Set<String> TOKEN_SCHEMES = Set.of("bearer", "dpop");

    private Derived() {
    }

    static boolean is(Event event) {
        return event.getError() == null && TYPES.contains(event.getType());
    }

    /**
     * Whether the request has brought a token, and only such for which the client has proven itself after that time. Keycloak
     * has verified them. What cannot be read is not.
     */
    static boolean isOfProofAfter(KeycloakSession session, long ms) {
        return isOfProofAfter(Requests.header(session, HttpHeaders.AUTHORIZATION), Requests.form(session), ms);
    }

    static boolean isOfProofAfter(String authorization, MultivaluedMap<String, String> form, long ms) {
        List<String> tokens = tokens(authorization, form);
        return !tokens.isEmpty() && tokens.stream().allMatch(token -> isAfter(token, ms, true));
    }

    /** The same of any token, however it was had. */
    static boolean isAfter(KeycloakSession session, long ms) {
        return tokens(Requests.header(session, HttpHeaders.AUTHORIZATION), Requests.form(session)).stream()
                .allMatch(token -> isAfter(token, ms, false));
    }

    private static List<String> tokens(String authorization, MultivaluedMap<String, String> form) {
        String[] header = authorization == null ? new String[0] : authorization.trim().split("\\s+", 2);
        String bearer = header.length == 2 && TOKEN_SCHEMES.contains(header[0].toLowerCase(Locale.ROOT)) ? header[1] : null;
        return Stream.of(form.getFirst(OAuth2Constants.SUBJECT_TOKEN), form.getFirst("claim_token"), bearer)
                .filter(Objects::nonNull).toList();
    }

    private static boolean isAfter(String token, long ms, boolean byAProof) {
        try {
            JsonWebToken read = new JWSInput(token).readJsonContent(JsonWebToken.class);
            return read.getIat() != null && read.getIat() * 1000 > ms
                    && (!byAProof || read.getId() != null && BY_A_PROOF.matcher(read.getId()).matches());
        } catch (JWSInputException e) {
            return false;
        }
    }
}

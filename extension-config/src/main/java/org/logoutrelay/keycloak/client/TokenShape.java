package org.logoutrelay.keycloak.client;

import java.util.Arrays;
import java.util.List;

import org.keycloak.models.ClientModel;
import org.keycloak.representations.LogoutToken;

/**
 * What a client's logout tokens name, by its attribute {@code logout-relay.token.shape}. Some relying parties end every
 * session of the {@code sub} that a token names, some refuse a token without one, some know no {@code sid}.
 */
public enum TokenShape {
    /** {@code sid}, and {@code sub} as long as it means no more than what is to be ended. */
    DEFAULT(null),
    SID_AND_SUB("sid+sub"),
    SID("sid"),
    SUB("sub");

    private static final String SHAPE = "logout-relay.token.shape";
    private static final String TYP = "logout-relay.token.typ";

    private final String word;

    TokenShape(String word) {
        this.word = word;
    }

    /** An unusable value counts as the default, and so does a client that is gone. */
    public static TokenShape of(ClientModel client) {
        String word = client == null ? null : client.getAttribute(SHAPE);
        return Arrays.stream(values()).filter(shape -> shape.word != null && word != null && shape.word.equals(word.trim()))
                .findFirst().orElse(DEFAULT);
    }

    public String word() {
        return word;
    }

    /** The shapes that tokens of a client with this setting may have. */
    public List<TokenShape> possible() {
        return this == DEFAULT ? List.of(SID_AND_SUB, SID) : List.of(this);
    }

    /** The header {@code typ}, or null for a token without. */
    public static String typ(ClientModel client) {
        String typ = client == null ? null : client.getAttribute(TYP);
        return typ == null ? "logout+jwt" : switch (typ.trim()) {
            case "JWT" -> "JWT";
            case "none" -> null;
            default -> "logout+jwt";
        };
    }

    /**
     * Whether a signed token with {@code sid} alone and the usual type does: whoever makes it need not know the subject's
     * other logins, nor the client's key.
     */
    public static boolean sidOnly(ClientModel client) {
        if (client == null || !"logout+jwt".equals(typ(client)) || TokenEncryption.isWanted(client)) {
            return false;
        }
        TokenShape shape = of(client);
        return shape == SID || shape == DEFAULT && RelyingParty.sessionRequired(client);
    }

    /** Whom a token with these claims names, as the relay calls it. */
    public static String names(LogoutToken claims) {
        return claims.getSid() == null ? SUB.word : claims.getSubject() == null ? SID.word : SID_AND_SUB.word;
    }

    /** Whether a token of this shape can name what is meant and nothing else. */
    public boolean fits(LogoutToken claims, boolean subMeansMore) {
        return this != SUB || claims.getSubject() != null && !subMeansMore;
    }

    /** @param subMeansMore whether the subject has sessions at this client that are not to be ended */
    public void shape(LogoutToken claims, boolean subMeansMore) {
        if (this == SID || this == DEFAULT && subMeansMore) {
            claims.setSubject(null);
        } else if (this == SUB) {
            claims.setSid(null);
        }
    }
}

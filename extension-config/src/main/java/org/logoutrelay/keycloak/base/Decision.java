package org.logoutrelay.keycloak.base;

/**
 * A person's word about what waits for one.
 *
 * @param confirmed whether it is meant; else it is let go
 * @param by the {@code sub} of their access token
 * @param reason why, in their words
 */
public record Decision(boolean confirmed, String by, String reason) {
    /** As it is kept and told. */
    public String word() {
        return confirmed ? "confirmed" : "dismissed";
    }
}

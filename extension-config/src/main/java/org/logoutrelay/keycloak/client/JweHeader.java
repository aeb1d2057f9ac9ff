package org.logoutrelay.keycloak.client;

import org.keycloak.jose.jwe.JWEHeader;

import com.fasterxml.jackson.annotation.JsonProperty;

/** Keycloak's header of a nested token, with {@code iss} (RFC 7519 §5.3): so a receiver knows whose it is before it decrypts it. */
final class JweHeader extends JWEHeader {
    private static final long serialVersionUID = 1L;

    @JsonProperty("iss")
    private final String issuer;

    JweHeader(String alg, String enc, String kid, String issuer) {
        super(alg, enc, null, kid, "JWT");
        this.issuer = issuer;
    }

    private JweHeader(JWEHeader header, String issuer) {
        super(header.getAlgorithm(), header.getEncryptionAlgorithm(), header.getCompressionAlgorithm(), header.getKeyId(),
                header.getContentType(), header.getType(), header.getEphemeralPublicKey(), header.getAgreementPartyUInfo(),
                header.getAgreementPartyVInfo());
        this.issuer = issuer;
    }

    /** Keycloak builds the header anew once it has made the key. */
    @Override
    public JWEHeaderBuilder toBuilder() {
        JWEHeaderBuilder builder = new JWEHeaderBuilder() {
            @Override
            public JWEHeader build() {
                return new JweHeader(super.build(), issuer);
            }
        };
        return builder.algorithm(getAlgorithm()).encryptionAlgorithm(getEncryptionAlgorithm())
                .compressionAlgorithm(getCompressionAlgorithm()).keyId(getKeyId()).contentType(getContentType())
                .type(getType()).ephemeralPublicKey(getEphemeralPublicKey()).agreementPartyUInfo(getAgreementPartyUInfo())
                .agreementPartyVInfo(getAgreementPartyVInfo());
    }
}
